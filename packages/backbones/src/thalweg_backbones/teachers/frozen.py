"""What all teachers do alike: resize, normalise, look, and never learn."""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from thalweg.errors import ConfigError
from thalweg.machine import native_precision
from thalweg.sampling import SamplingPrecision
from thalweg.suggestions import one_line
from thalweg.vision.pixels import rgb

RESIZE = "bicubic"

Look = Callable[[Tensor], Tensor]
"""From normalised images to a map of features (N, h, w, F)."""


class FrozenTeacher(nn.Module):
    """A vision encoder in evaluation mode, without gradients. Fulfils :class:`thalweg.protocols.Teacher`.

    Images are resized so that each of its patches falls on one token of the backbone: bicubic, in floating
    point and without antialiasing, as REPA does it.

    Args:
        name: under which its features are stored.
        described: what its config knows of it, and its weights' SHA-256.
        model: the encoder.
        look: how to look through it.
        width: F, of a patch token.
        patch: edge in pixels of what one token stands for.
        normalisation: mean and standard deviation of each channel, of values in [0, 1].
        precision: bf16-mixed evaluates under bfloat16 autocast, 32-true in float32; auto is the former where
            the device computes in bfloat16 itself.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        name: str,
        described: Mapping[str, Any],
        model: nn.Module,
        look: Look,
        *,
        width: int,
        patch: int,
        normalisation: tuple[tuple[float, ...], tuple[float, ...]],
        precision: SamplingPrecision,
    ) -> None:
        super().__init__()
        self.name, self.width, self.patch = name, width, patch
        self.model = model
        self._described, self._look, self._precision = dict(described), look, precision
        mean, std = (torch.tensor(values)[:, None, None] for values in normalisation)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.eval().requires_grad_(False)

    @property
    def identity(self) -> Mapping[str, Any]:
        """What it is, its weights' SHA-256, and the precision on the device that it is on."""
        return {**self._described, "precision": self._resolved()}

    @torch.no_grad()
    def forward(
        self, images: UInt8[Tensor, "N channels height width"], grid: tuple[int, int]
    ) -> Float[Tensor, "N T F"]:
        """Patch tokens, row by row, in float32.

        Raises:
            ConfigError: if no size of image gives that grid.
            DataError: for anything but bytes of 1 or 3 channels.
        """
        size = (grid[0] * self.patch, grid[1] * self.patch)
        x_N3HW = rgb(images).to(self.mean.device).float() / 255
        if x_N3HW.shape[2:] != size:
            x_N3HW = functional.interpolate(x_N3HW, size, mode=RESIZE)
        with self._autocast():
            seen_NhwF = self._seen((x_N3HW - self.mean) / self.std, grid)
        if seen_NhwF.shape[1:] != (*grid, self.width):
            raise self._unfit(grid, f"it gives {' x '.join(map(str, seen_NhwF.shape[1:3]))}")
        seen_NTF: Tensor = seen_NhwF.flatten(1, 2).float()
        return seen_NTF

    def _seen(self, x_N3HW: Tensor, grid: tuple[int, int]) -> Float[Tensor, "N h w F"]:
        try:
            return self._look(x_N3HW)
        except torch.OutOfMemoryError:
            raise
        except (AssertionError, ValueError, RuntimeError) as error:  # networks that take one size alone
            raise self._unfit(grid, one_line(error)) from error

    def _unfit(self, grid: tuple[int, int], why: str) -> ConfigError:
        height, width = grid
        return ConfigError(
            f"the teacher {self.name} has no grid of {height} x {width} tokens, for which it is shown images "
            f"of {height * self.patch} x {width * self.patch} pixels ({why}); choose another teacher or patch"
        )

    def _resolved(self) -> str:
        return native_precision(self.mean.device.type) if self._precision == "auto" else self._precision

    def _autocast(self) -> AbstractContextManager[object]:
        if not torch.amp.is_autocast_available(self.mean.device.type):
            return nullcontext()
        mixed = self._resolved() == "bf16-mixed"
        return torch.autocast(self.mean.device.type, torch.bfloat16, enabled=mixed)


def as_map(tokens: Float[Tensor, "N T F"], pixels: tuple[int, int], patch: int) -> Float[Tensor, "N h w F"]:
    """Patch tokens of an image of that many pixels as a map.

    Raises:
        ValueError: if there are not that many.
    """
    height, width = (edge // patch for edge in pixels)
    if tokens.shape[1] != math.prod((height, width)):
        raise ValueError(f"{tokens.shape[1]} tokens")
    seen_NhwF: Tensor = tokens.unflatten(1, (height, width))
    return seen_NhwF
