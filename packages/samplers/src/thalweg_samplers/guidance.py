"""Classifier-free guidance within an interval of time."""

import attrs
import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.types import Condition, ConditionalVelocity

_UNCONDITIONAL = (
    "classifier-free guidance needs a condition to leave out, but these data are unconditional; "
    "remove the guidance, or give the samples labels or captions"
)
_ALWAYS_SHOWN = (
    "classifier-free guidance needs a network that knows its velocity without a condition, and this one was "
    "trained with every condition shown, or has no null class; remove the guidance, or train with "
    "training.condition_dropout above 0"
)
# A time of a grid such as linspace(1, 0, 11)[3] misses 0.7 by a rounding error; it counts as 0.7.
_ROUNDING = 1e-9


@attrs.frozen
class ClassifierFree:
    """v = v_uncond + scale (v_cond - v_uncond) while low <= t <= high, v_cond elsewhere.

    At fixed x and t the score, and so the drift of an SDE, is an affine function of the velocity, and
    the weights 1 - scale and scale sum to one; guiding the velocity is therefore guiding the drift, and
    a sampler of either kind needs nothing more (Ho & Salimans 2022; the interval: Kynkaanniemi et al.
    2024).

    Attributes:
        scale: 1 leaves the conditional velocity as it is, 0 gives the unconditional one; between the two
            the condition is weakened.
        interval: low and high, both included.
    """

    scale: float
    interval: tuple[float, float]

    def __call__(self, network: ConditionalVelocity, condition: Condition) -> "GuidedField":
        """The guided field of these samples.

        Raises:
            ConfigError: the condition holds nothing that could be left out.
        """
        if condition.labels is None and condition.text is None:
            raise ConfigError(_UNCONDITIONAL)
        return GuidedField(self, network, condition)

    def is_open(self, t: Float64[Tensor, " N"]) -> Bool[Tensor, " N"]:
        """Which samples are guided at these times."""
        low, high = self.interval
        return (t >= low - _ROUNDING) & (t <= high + _ROUNDING) & (self.scale != 1)


@attrs.frozen(eq=False)
class GuidedField:
    """A velocity field under guidance.

    The unconditional half is evaluated in one call with the conditional one, and only for the samples
    whose time is in the interval.

    Attributes:
        guidance: scale and interval.
        network: the velocity under any condition.
        condition: what the samples are conditioned on.
        open: which samples are guided whatever the time; None where the time decides.
    """

    guidance: ClassifierFree
    network: ConditionalVelocity
    condition: Condition
    open: Bool[Tensor, " N"] | None = None

    @property
    def breaks(self) -> tuple[float, ...]:
        """The times at which the field jumps."""
        return () if self.guidance.scale == 1 else self.guidance.interval

    def __call__(self, x: Float[Tensor, "N *shape"], t: Float64[Tensor, " N"]) -> Float[Tensor, "N *shape"]:
        """The guided velocity at x and t."""
        open_N = self.guidance.is_open(t) if self.open is None else self.open
        rows_n = open_N.nonzero().flatten()
        if len(rows_n) == 0:
            return self.network(x, t, self.condition)
        hidden = self.condition.select(rows_n).null()
        both = self.network(torch.cat([x, x[rows_n]]), torch.cat([t, t[rows_n]]), self.condition.join(hidden))
        conditional_NCHW, unconditional_nCHW = both[: len(x)], both[len(x) :]
        difference_nCHW = conditional_NCHW[rows_n] - unconditional_nCHW
        guided_nCHW = unconditional_nCHW + self.guidance.scale * difference_nCHW
        if len(rows_n) == len(x):
            return guided_nCHW
        velocity_NCHW = conditional_NCHW.clone()
        velocity_NCHW[rows_n] = guided_nCHW
        return velocity_NCHW

    def select(self, index: Int[Tensor, " n"]) -> "GuidedField":
        """The field of the samples at ``index`` alone."""
        open_n = None if self.open is None else self.open[index]
        return GuidedField(self.guidance, self.network, self.condition.select(index), open_n)

    def during(self, t: Float64[Tensor, " N"]) -> "GuidedField":
        """The field on the side of a jump on which t is: guided throughout if it is open at t."""
        return attrs.evolve(self, open=self.guidance.is_open(t))


def _check_interval(_: object, __: object, interval: tuple[float, ...]) -> None:
    if len(interval) != 2 or not 0 <= interval[0] <= interval[1] <= 1:
        raise ValueError(f"'interval' must be two times with 0 <= low <= high <= 1: {interval}")


@attrs.frozen
class ClassifierFreeConfig:
    """Classifier-free guidance within an interval of time.

    Attributes:
        scale: 1 is no guidance; larger ones trade diversity for fidelity, smaller ones weaken the
            condition, down to 0, which leaves it out.
        interval: low and high between which it acts (0 is data, 1 is noise), both included; the network
            is evaluated twice a step inside, once outside.
    """

    scale: float = attrs.field(
        default=1.8, validator=[attrs.validators.ge(0), attrs.validators.lt(float("inf"))]
    )
    interval: tuple[float, float] = attrs.field(
        default=(0.0, 1.0), converter=tuple, validator=_check_interval
    )

    def build(self, facts: Facts) -> ClassifierFree:
        """The guidance.

        Raises:
            ConfigError: the data are unconditional, or the network was trained with every condition shown.
        """
        if facts.classes is None and facts.text is None:
            raise ConfigError(_UNCONDITIONAL)
        # A scale of 1 never asks for the unconditional half.
        if self.scale != 1 and not facts.condition_dropout:
            raise ConfigError(_ALWAYS_SHOWN)
        return ClassifierFree(self.scale, self.interval)
