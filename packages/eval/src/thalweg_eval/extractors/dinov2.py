"""DINOv2 as an extractor, by the protocol of dgm-eval (G. Stein et al., Exposing flaws of generative model
evaluation metrics and their unfair treatment of diffusion models, 2023), for FD-DINOv2.
"""

from pathlib import Path

import attrs
import torch
from attrs.validators import in_
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from thalweg.config import url_field
from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.storage import Location
from thalweg.types import Features
from thalweg.vision.pixels import IMAGENET_MEAN, IMAGENET_STD, normalised
from thalweg.vision.timm_models import load_exactly, vision_model
from thalweg.weights import read_weights
from thalweg_eval.naming import qualified
from thalweg_eval.pixels import PIL_BICUBIC, pil_bicubic

_SIDE, _PATCH = 224, 14
_MODELS = {"s": "small", "b": "base", "l": "large", "g": "giant"}
_OFFSET = 0.1  # of a patch, which the published network adds to its grid before it divides


@attrs.frozen
class DinoV2Config:
    """DINOv2 without registers: the class token after the last normalisation, of images of 224x224.

    Comparable with FD-DINOv2 as dgm-eval computes it; not with torch-fidelity's, which resizes otherwise.

    Attributes:
        size: ``s``, ``b``, ``l`` or ``g``; FD-DINOv2 means ``l``.
        weights: the file ``dinov2_vit{size}14_pretrain.pth`` as published, or timm's of the same network;
            where torch.hub puts it by default.
        sha256: how its SHA-256 must begin, if it is to be checked.
    """

    size: str = attrs.field(default="l", validator=in_(tuple(_MODELS)))
    weights: str = url_field(default="")
    sha256: str = ""

    def build(self, facts: Facts) -> "DinoV2":  # noqa: ARG002 - images of any size
        """The extractor.

        Raises:
            PluginError: if timm is not installed.
            DataError: if the weights are missing, others than expected, or of another network.
        """
        file = f"dinov2_vit{self.size}14_pretrain.pth"
        what, source = f"DINOv2 ViT-{self.size}/14", _source(self.size)
        path = self.weights or Path(torch.hub.get_dir()) / "checkpoints" / file
        weights = read_weights(Location(path), what, source, self.sha256)
        tensors = {name: tensor for name, tensor in weights.tensors.items() if name != "mask_token"}
        if "pos_embed" not in tensors:
            raise DataError(f"{path} does not hold {what}, as it has no pos_embed; get it from {source}")
        tensors["pos_embed"] = positions(tensors["pos_embed"], _SIDE // _PATCH)
        name = f"vit_{_MODELS[self.size]}_patch14_dinov2"
        model = vision_model(name, "thalweg-eval", num_classes=0, img_size=_SIDE, global_pool="token")
        load_exactly(model, tensors, what, path)
        return DinoV2(model, self.size, weights.sha256)


class DinoV2(nn.Module):
    """The extractor.

    Args:
        model: the network.
        size: its size.
        sha256: of its weights.
    """

    labels_known = False
    reads_captions = False

    def __init__(self, model: nn.Module, size: str, sha256: str) -> None:
        super().__init__()
        self.model = model
        self._size = size
        self.name = f"DINOv2 ViT-{size}/14"
        self.identity = {
            "type": "dinov2",
            "size": size,
            "weights": sha256,
            "resize": PIL_BICUBIC.format(side=_SIDE),
            "precision": "float32",
        }

    def number_name(self, number: str) -> str:
        """``fd_dinov2`` and its like for the size ``l``; others are named."""
        return qualified(number, "dinov2" if self._size == "l" else f"dinov2_vit{self._size}14")

    @torch.no_grad()
    def forward(self, images: UInt8[Tensor, "N channels height width"]) -> Features:
        """Features of images 0..255.

        Raises:
            DataError: for anything but bytes of 1 or 3 channels.
        """
        device = next(self.model.parameters()).device
        x = normalised(pil_bicubic(images, _SIDE), IMAGENET_MEAN, IMAGENET_STD, device)
        return Features(pooled=self.model(x).float().cpu())


def positions(embedding: Float[Tensor, "1 T D"], side: int) -> Float[Tensor, "1 U D"]:
    """Positions for a grid of side x side patches, the class token's own first.

    Bicubic without antialiasing, the scale being (side + 0.1) / (side of the given grid), as the published
    network interpolates them; timm would do otherwise, and features would differ in the second digit.
    """
    own, grid = embedding[:, :1], embedding[:, 1:]
    given = round(grid.shape[1] ** 0.5)
    if given == side:
        return embedding
    grid_DHW = grid.reshape(1, given, given, -1).permute(0, 3, 1, 2).float()
    scale = (side + _OFFSET) / given
    resized = functional.interpolate(grid_DHW, scale_factor=(scale, scale), mode="bicubic")
    return torch.cat([own, resized.permute(0, 2, 3, 1).flatten(1, 2)], 1)


def _source(size: str) -> str:
    return f"https://dl.fbaipublicfiles.com/dinov2/dinov2_vit{size}14/dinov2_vit{size}14_pretrain.pth"
