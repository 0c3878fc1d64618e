"""Vision transformers whose weights are published in the layout of DINO, as timm's networks."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import attrs
import torch
from torch import Tensor, nn

from thalweg.data.pixels import IMAGENET_MEAN, IMAGENET_STD
from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.storage import Location
from thalweg_backbones.foreign.weights import fetched_or_hub, read_weights
from thalweg_backbones.vision.encoder import FileEncoderConfig, FrozenEncoder, as_map
from thalweg_backbones.vision.timm_models import load_exactly, timm_module, vision_model

_SIDE = 224
_BLOCK = re.compile(r"blocks\.\d+\.")


class Published(NamedTuple):
    """A network with the file of weights that its authors published.

    Attributes:
        network: what timm calls it.
        patch: edge of a patch in pixels.
        title: what it is called, such as ``DINOv2 ViT-b/14``.
        label: what numbers in its pooled features end in.
        source: URL of the file.
    """

    network: str
    patch: int
    title: str
    label: str
    source: str


class PublishedViT(FrozenEncoder):
    """The encoder: the class token and the patch tokens of the last block, normalised.

    Args:
        config: that it is built from.
        model: the network.
        sha256: of its weights.
    """

    def __init__(self, config: "PublishedViTConfig", model: Any, sha256: str) -> None:
        super().__init__(
            config,
            model,
            sha256,
            title=config.published.title,
            label=config.published.label,
            width=model.num_features,
            patch=config.published.patch,
            side=_SIDE,
            normalisation=(IMAGENET_MEAN, IMAGENET_STD),
        )

    def _pooled(self, x_N3HW: Tensor) -> tuple[Tensor, None]:
        return self.model.forward_features(x_N3HW)[:, 0], None

    def _map(self, x_N3HW: Tensor) -> Tensor:
        tokens_NTF = self.model.forward_features(x_N3HW)
        return as_map(tokens_NTF[:, self.model.num_prefix_tokens :], x_N3HW, self.patch)


@attrs.frozen(kw_only=True)
class PublishedViTConfig(FileEncoderConfig):
    """A vision transformer in the layout of DINO; subclasses say which."""

    encoder: ClassVar[type[PublishedViT]] = PublishedViT
    ignored: ClassVar[tuple[str, ...]] = ()  # how the names of tensors begin that are not the encoder's

    @property
    def published(self) -> Published:
        """Which network it is."""
        raise NotImplementedError

    @property
    def usual(self) -> Location:
        """Where the file was fetched to, else where torch.hub puts it."""
        return fetched_or_hub(self.name, self.published.source.rpartition("/")[2])

    def build(self, _facts: Facts) -> "PublishedViT":
        """Load it.

        Raises:
            PluginError: if timm is not installed.
            DataError: if the weights are missing, others than expected, or of another network.
        """
        network, title = self.published.network, self.published.title
        weights = read_weights(self.place, title, self.published.source, self.sha256, self.name)
        tensors = {key: one for key, one in weights.tensors.items() if not key.startswith(self.ignored)}
        return self.encoder(self, _loaded(network, tensors, title, self.place), weights.sha256)


def _loaded(name: str, tensors: dict[str, Tensor], what: str, place: Location) -> nn.Module:
    """timm's network of that name with the tensors of a published file.

    Raises:
        PluginError: if timm is not installed.
        DataError: if they are another network's.
    """
    # On the meta device nothing is drawn that the weights would replace.
    with torch.device("meta"):
        model: Any = vision_model(name, num_classes=0, dynamic_img_size=True)
    rename = timm_module("timm.models.vision_transformer").checkpoint_filter_fn
    patch, ours = tensors.get("patch_embed.proj.weight"), model.patch_embed.proj.weight
    # Before timm brings patches and positions of another size to this one's.
    if patch is None or patch.shape != ours.shape or _depth(tensors) != len(model.blocks):
        raise DataError(f"{place} does not hold the weights of {what}; give the file of that network")
    ours = {key: tensor.float() for key, tensor in rename(dict(tensors), model).items()}
    load_exactly(model, ours, what, place)
    return model  # type: ignore[no-any-return]  # timm's are not typed


def _depth(tensors: Mapping[str, Tensor]) -> int:
    return len({found[0] for name in tensors if (found := _BLOCK.match(name))})
