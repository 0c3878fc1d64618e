"""The sizes of an autoencoder, read off its tensors."""

import re
from collections.abc import Mapping

import attrs

from thalweg.errors import DataError

GROUPS = 32
"""Groups of every normalisation in the published models; no tensor's shape shows it."""

_LEVEL = re.compile(r"encoder\.down_blocks\.(\d+)\.resnets\.(\d+)\.conv1\.weight")

Shape = tuple[int, ...]


@attrs.frozen
class Architecture:
    """What an encoder and its decoder are built from.

    Attributes:
        channels: of images.
        latent_channels: of latents.
        widths: channels of each level, the finest first; each level but the last halves the image.
        residuals: residual blocks of a level of the encoder; the decoder has one more.
        groups: of every normalisation.
        quant_conv: whether a 1x1 convolution stands behind the encoder; later models have none.
        post_quant_conv: whether one stands before the decoder.
    """

    channels: int
    latent_channels: int
    widths: tuple[int, ...]
    residuals: int
    groups: int
    quant_conv: bool = True
    post_quant_conv: bool = True

    @property
    def factor(self) -> int:
        """How many pixels stand side by side behind one of a latent."""
        return 1 << (len(self.widths) - 1)


def architecture_of(shapes: Mapping[str, Shape], groups: int, where: str) -> Architecture:
    """The architecture that has tensors of these shapes, as far as shapes show it.

    Args:
        shapes: of every tensor, by its published name.
        groups: of every normalisation.
        where: the file, for errors.

    Raises:
        DataError: if the names are not those of such an autoencoder, or groups do not divide a width.
    """
    found = [match for match in map(_LEVEL.fullmatch, shapes) if match]
    places = {(int(match[1]), int(match[2])) for match in found}
    levels, residuals = (1 + max((place[axis] for place in places), default=-1) for axis in (0, 1))
    if len(places) != levels * residuals or not places:
        raise _foreign(where, "encoder.down_blocks.0.resnets.0.conv1.weight")
    widths = tuple(
        _shape(shapes, f"encoder.down_blocks.{level}.resnets.0.conv1.weight", where)[0]
        for level in range(levels)
    )
    if any(width % groups for width in widths):
        raise DataError(
            f"the widths {widths} of {where} cannot be normalised in {groups} groups; give the folder with "
            "the config.json that states its norm_num_groups, not the file alone"
        )
    return Architecture(
        channels=_shape(shapes, "encoder.conv_in.weight", where)[1],
        latent_channels=_shape(shapes, "decoder.conv_in.weight", where)[1],
        widths=widths,
        residuals=residuals,
        groups=groups,
        quant_conv="quant_conv.weight" in shapes,
        post_quant_conv="post_quant_conv.weight" in shapes,
    )


def _shape(shapes: Mapping[str, Shape], name: str, where: str) -> Shape:
    shape = shapes.get(name, ())
    if len(shape) != 4:
        raise _foreign(where, name)
    return shape


def _foreign(where: str, name: str) -> DataError:
    return DataError(
        f"{where} has no convolution '{name}', so it is no autoencoder in the layout of diffusers' "
        "AutoencoderKL; give diffusion_pytorch_model.safetensors of one"
    )
