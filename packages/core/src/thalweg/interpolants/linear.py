"""The straight path."""

import attrs
import torch
from torch import Tensor

from thalweg.facts import Facts


@attrs.frozen
class LinearConfig:
    """The straight path: alpha = 1 - t, sigma = t (DeepFlow, equation 1)."""

    def build(self, _: Facts) -> "Linear":
        """Build it."""
        return Linear()


class Linear:
    """See :class:`LinearConfig`. Fulfils :class:`thalweg.interpolant.Schedule`."""

    def alpha(self, t: Tensor) -> Tensor:
        """1 - t."""
        return 1 - t

    def sigma(self, t: Tensor) -> Tensor:
        """The time itself."""
        return t

    def d_alpha(self, t: Tensor) -> Tensor:
        """-1."""
        return -torch.ones_like(t)

    def d_sigma(self, t: Tensor) -> Tensor:
        """1."""
        return torch.ones_like(t)

    def time_of_ratio(self, s: Tensor) -> Tensor:
        """s / (1 + s)."""
        return s / (1 + s)
