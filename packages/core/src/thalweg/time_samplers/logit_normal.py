"""Logit-normal times: the ratio of noise to data is log-normal."""

import attrs
import torch
from attrs.validators import gt
from jaxtyping import Float
from torch import Tensor

from thalweg.facts import Facts
from thalweg.interpolant import Interpolant


@attrs.frozen
class LogitNormalConfig:
    """sigma(t) / alpha(t) = exp(n), n ~ N(mean, std^2): logit-normal in t on the linear path.

    Attributes:
        mean: of the log-ratio; above 0 prefers noisy times.
        std: of the log-ratio.
    """

    mean: float = 0.0
    std: float = attrs.field(default=1.0, validator=gt(0))

    def build(self, _: Facts) -> "LogitNormal":
        """Build it."""
        return LogitNormal(self.mean, self.std)


class LogitNormal:
    """See :class:`LogitNormalConfig`. Fulfils :class:`thalweg.protocols.TimeSampler`."""

    def __init__(self, mean: float, std: float) -> None:
        self.mean, self.std = mean, std

    def __call__(
        self, count: int, generator: torch.Generator, interpolant: Interpolant
    ) -> Float[Tensor, " N"]:
        """``count`` times."""
        log_ratio = self.mean + self.std * torch.randn(count, generator=generator)
        return interpolant.time_of_ratio(log_ratio.exp())
