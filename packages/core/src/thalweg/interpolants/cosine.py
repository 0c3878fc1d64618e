"""The variance-preserving path."""

import math

import attrs
import torch
from torch import Tensor

from thalweg.facts import Facts


@attrs.frozen
class CosineConfig:
    """The variance-preserving path: alpha = cos(pi t / 2), sigma = sin(pi t / 2)."""

    def build(self, _: Facts) -> "Cosine":
        """Build it."""
        return Cosine()


class Cosine:
    """See :class:`CosineConfig`. Fulfils :class:`thalweg.interpolant.Schedule`."""

    def alpha(self, t: Tensor) -> Tensor:
        """cos(pi t / 2)."""
        return torch.cos(t * (math.pi / 2))

    def sigma(self, t: Tensor) -> Tensor:
        """sin(pi t / 2)."""
        return torch.sin(t * (math.pi / 2))

    def d_alpha(self, t: Tensor) -> Tensor:
        """-pi/2 sin(pi t / 2)."""
        return -(math.pi / 2) * self.sigma(t)

    def d_sigma(self, t: Tensor) -> Tensor:
        """pi/2 cos(pi t / 2)."""
        return (math.pi / 2) * self.alpha(t)

    def time_of_ratio(self, s: Tensor) -> Tensor:
        """2/pi atan(s)."""
        return (2 / math.pi) * torch.atan(s)
