"""The sizes of an autoencoder, read off its tensors."""

from collections.abc import Mapping

import attrs

from thalweg.errors import DataError
from thalweg_backbones.autoencoder.layouts import DIFFUSERS, Layout

GROUPS = 32
"""Groups of every normalisation in the published models; no tensor's shape shows it."""

Shape = tuple[int, ...]


@attrs.frozen
class Architecture:
    """What an encoder and its decoder are built from.

    Levels are counted from the finest, 0.

    Attributes:
        channels: of images.
        latent_channels: of latents.
        widths: channels of each level; each level but the last halves the image.
        residuals: residual blocks of a level of the encoder; the decoder has one more.
        groups: of every normalisation.
        quant_conv: whether a 1x1 convolution stands behind the encoder; later models have none.
        post_quant_conv: whether one stands before the decoder.
        encoder_attention: levels of the encoder with attention behind each residual block.
        decoder_attention: those of the decoder.
        inner_channels: of the mean and of the variance that the encoder gives, and of the decoder's input;
            the 1x1 convolutions lead to and from the latents' own.
    """

    channels: int
    latent_channels: int
    widths: tuple[int, ...]
    residuals: int
    groups: int
    quant_conv: bool = True
    post_quant_conv: bool = True
    encoder_attention: tuple[int, ...] = ()
    decoder_attention: tuple[int, ...] = ()
    inner_channels: int = attrs.field()

    @inner_channels.default
    def _as_latents(self) -> int:
        return self.latent_channels

    @property
    def factor(self) -> int:
        """How many pixels stand side by side behind one of a latent."""
        return 1 << (len(self.widths) - 1)


def architecture_of(shapes: Mapping[str, Shape], layout: Layout, groups: int, where: str) -> Architecture:
    """The architecture that has tensors of these shapes, as far as shapes show it.

    Args:
        shapes: of every tensor, by its published name.
        layout: whose names they are.
        groups: of every normalisation.
        where: the file, for errors.

    Raises:
        DataError: if the names are not those of such an autoencoder, or groups do not divide a width.
    """
    found = [match for match in map(layout.residual.fullmatch, shapes) if match]
    places = {(int(match[1]), int(match[2])) for match in found}
    levels, residuals = (1 + max((place[axis] for place in places), default=-1) for axis in (0, 1))
    if len(places) != levels * residuals or not places:
        raise _foreign(where, layout, layout.first)

    def shape(name: str) -> Shape:
        theirs = layout.of(name, levels)
        if len(shapes.get(theirs, ())) != 4:
            raise _foreign(where, layout, theirs)
        return shapes[theirs]

    widths = tuple(shape(f"encoder.down_blocks.{level}.resnets.0.conv1.weight")[0] for level in range(levels))
    if any(width % groups for width in widths):
        cure = (
            "give the folder with the config.json that states its norm_num_groups, not the file alone"
            if layout is DIFFUSERS
            else f"{layout.program} has {groups} throughout, so give the checkpoint of one"
        )
        raise DataError(f"the widths {widths} of {where} cannot be normalised in {groups} groups; {cure}")
    inner = shape("decoder.conv_in.weight")[1]
    after = "post_quant_conv.weight" in shapes
    return Architecture(
        channels=shape("encoder.conv_in.weight")[1],
        latent_channels=shape("post_quant_conv.weight")[1] if after else inner,
        widths=widths,
        residuals=residuals,
        groups=groups,
        quant_conv="quant_conv.weight" in shapes,
        post_quant_conv=after,
        encoder_attention=_attention(shapes, layout, "encoder", levels),
        decoder_attention=_attention(shapes, layout, "decoder", levels),
        inner_channels=inner,
    )


def _attention(shapes: Mapping[str, Shape], layout: Layout, half: str, levels: int) -> tuple[int, ...]:
    """Levels of a half that have attention, counted from the finest."""
    found = [match for match in map(layout.attention.fullmatch, shapes) if match and match[1] == half]
    counted = (int(match[2]) for match in found)
    turned = half == "decoder" and not layout.finest_up
    return tuple(sorted(levels - 1 - one if turned else one for one in counted))


def _foreign(where: str, layout: Layout, name: str) -> DataError:
    return DataError(
        f"{where} has no convolution '{name}', so it is no autoencoder in the layout of {layout.program}; "
        f"{layout.ask}"
    )
