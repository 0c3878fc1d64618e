"""The Inception network of 2015-12-05, by whose features FID is defined, made for inference alone.

C. Szegedy et al., Rethinking the Inception architecture for computer vision, 2015, with what the released
TensorFlow graph does otherwise: average pools that leave the padding out, a max pool in the last block, 1008
classes. Weights are read in the layout of torch-fidelity and pytorch-fid.

Four things make it fast, none of which changes more than the rounding: batch normalisation is folded into
the convolutions; the 1x1 convolutions that read the same tensor are one; an average pool in front of a 1x1
convolution comes after it, where there are fewer channels; and tensors are channels last.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from thalweg.layers import folded

_EPSILON = 1e-3  # of every batch normalisation
SPATIAL_CHANNELS = 7

Pair = tuple[int, int]
# What follows the first 1x1 convolution in each branch: name, kernel; paddings keep the size.
_A = {"branch1x1": (), "branch5x5": (("2", (5, 5)),), "branch3x3dbl": (("2", (3, 3)), ("3", (3, 3)))}
_C = {
    "branch1x1": (),
    "branch7x7": (("2", (1, 7)), ("3", (7, 1))),
    "branch7x7dbl": (("2", (7, 1)), ("3", (1, 7)), ("4", (7, 1)), ("5", (1, 7))),
}


class _Conv(nn.Module):
    """Convolution, normalisation and ReLU in one; several of the same kernel side by side."""

    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        names: tuple[str, ...],
        stride: int = 1,
        padding: Pair = (0, 0),
        activate: bool = True,
    ) -> None:
        super().__init__()
        parts = [folded(tensors, f"{name}.conv", f"{name}.bn", _EPSILON) for name in names]
        self.widths = [len(bias) for _, bias in parts]
        weight = torch.cat([weight for weight, _ in parts])
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", torch.cat([bias for _, bias in parts]))
        self._stride, self._padding, self._activate = stride, padding, activate

    def forward(self, x: Tensor) -> Tensor:
        out = functional.conv2d(x, self.weight, self.bias, self._stride, self._padding)
        return out.relu_() if self._activate else out


class _Mixed(nn.Module):
    """A block whose branches all begin with a 1x1 convolution of its input, the last with a pool before."""

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        name: str,
        branches: Mapping[str, tuple[tuple[str, Pair], ...]],
    ) -> None:
        super().__init__()
        firsts = [f"{name}.{branch}_1" if rest else f"{name}.{branch}" for branch, rest in branches.items()]
        self.first = _Conv(tensors, (*firsts, f"{name}.branch_pool"), activate=False)
        self.rests = nn.ModuleList(
            nn.Sequential(*(_same(tensors, f"{name}.{branch}_{place}", kernel) for place, kernel in rest))
            for branch, rest in branches.items()
        )

    def forward(self, x: Tensor) -> Tensor:
        *firsts, pooled = self.first(x).split(self.first.widths, 1)
        out = [rest(first.relu()) for first, rest in zip(firsts, self.rests, strict=True)]
        return torch.cat([*out, _average(pooled).relu_()], 1)


class _Reduction(nn.Module):
    """A block that halves the grid; the last convolution of each branch has stride 2."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([*(branch(x) for branch in self.branches), functional.max_pool2d(x, 3, 2)], 1)


class _Last(nn.Module):
    """A block on the 8x8 grid, whose 3x3 convolutions fork into 1x3 and 3x1."""

    def __init__(self, tensors: Mapping[str, Tensor], name: str, average: bool) -> None:
        super().__init__()
        self._average = average
        firsts = (f"{name}.branch1x1", f"{name}.branch3x3_1", f"{name}.branch3x3dbl_1")
        pool = f"{name}.branch_pool"
        self.first = _Conv(tensors, (*firsts, pool) if average else firsts, activate=False)
        self.pool = None if average else _Conv(tensors, (pool,))
        self.middle = _same(tensors, f"{name}.branch3x3dbl_2", (3, 3))
        self.forks = nn.ModuleList(
            _same(tensors, f"{name}.{branch}{fork}", kernel)
            for branch in ("branch3x3_2", "branch3x3dbl_3")
            for fork, kernel in (("a", (1, 3)), ("b", (3, 1)))
        )

    def forward(self, x: Tensor) -> Tensor:
        single, double, triple, *pooled = self.first(x).split(self.first.widths, 1)
        double, triple = double.relu(), self.middle(triple.relu())
        inputs = (double, double, triple, triple)
        forks = [fork(one) for fork, one in zip(self.forks, inputs, strict=True)]
        if self.pool is None:
            last = _average(pooled[0]).relu_()
        else:
            last = self.pool(functional.max_pool2d(x, 3, 1, 1))
        return torch.cat([single.relu(), *forks, last], 1)


class InceptionGraph(nn.Module):
    """From normalised images to all features.

    Args:
        tensors: the weights in torch-fidelity's layout.

    Raises:
        KeyError: if a tensor is missing.
    """

    classes: Tensor

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()

        def conv(name: str, stride: int = 1, padding: int = 0) -> _Conv:
            return _Conv(tensors, (name,), stride, (padding, padding))

        def column(*names: str) -> nn.Sequential:
            *head, last = (f"Mixed_{name}" for name in names)
            return nn.Sequential(*(_same(tensors, name) for name in head), conv(last, 2))

        self.stem = nn.Sequential(
            conv("Conv2d_1a_3x3", 2), conv("Conv2d_2a_3x3"), conv("Conv2d_2b_3x3", 1, 1), nn.MaxPool2d(3, 2),
            conv("Conv2d_3b_1x1"), conv("Conv2d_4a_3x3"), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        self.middle = nn.Sequential(
            *(_Mixed(tensors, f"Mixed_5{letter}", _A) for letter in "bcd"),
            _Reduction(
                column("6a.branch3x3"),
                column("6a.branch3x3dbl_1", "6a.branch3x3dbl_2", "6a.branch3x3dbl_3"),
            ),
            *(_Mixed(tensors, f"Mixed_6{letter}", _C) for letter in "bc"),
        )
        # The block of the spatial features: the first channels of its first branch.
        self.spatial = _Mixed(tensors, "Mixed_6d", _C)
        self.top = nn.Sequential(
            _Mixed(tensors, "Mixed_6e", _C),
            _Reduction(
                column("7a.branch3x3_1", "7a.branch3x3_2"),
                column(*(f"7a.branch7x7x3_{place}" for place in range(1, 5))),
            ),
            _Last(tensors, "Mixed_7b", average=True),
            _Last(tensors, "Mixed_7c", average=False),
        )
        self.register_buffer("classes", tensors["fc.weight"].float().clone())

    def forward(
        self, x_N3HW: Float[Tensor, "N 3 299 299"]
    ) -> tuple[Float[Tensor, "N 2048"], Float[Tensor, "N 1008"], Float[Tensor, "N 2023"]]:
        """Pooled features, logits without their bias, and spatial features (row, column, channel)."""
        x = self.spatial(self.middle(self.stem(x_N3HW.contiguous(memory_format=torch.channels_last))))
        spatial_NS = x[:, :SPATIAL_CHANNELS].permute(0, 2, 3, 1).flatten(1)
        pooled_NF = self.top(x).mean((2, 3))
        return pooled_NF, pooled_NF @ self.classes.T, spatial_NS


def _same(tensors: Mapping[str, Tensor], name: str, kernel: Pair | None = None) -> _Conv:
    """A convolution that keeps the grid."""
    height, width = kernel or tuple(tensors[f"{name}.conv.weight"].shape[2:])
    return _Conv(tensors, (name,), 1, (height // 2, width // 2))


def _average(x: Tensor) -> Tensor:
    return functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
