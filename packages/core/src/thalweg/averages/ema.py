"""Exponential moving averages (EMA) of a network's weights, with which samples are generated."""

import math
from functools import partial
from typing import Any

import attrs
from attrs.validators import and_, ge, lt
from torch import nn

from thalweg.averages.moving import MovingAverages
from thalweg.errors import ConfigError
from thalweg.facts import Facts

_WARMUP = 10
"""(1 + n) / (10 + n) averages over the last ninth of a run, whatever its length: the power profile n^8 of
EDM2 (Karras et al. 2024), of relative width 0.09."""
_NOTICEABLE = 0.05


def decay_at(step: int, decay: float, *, warmup: bool) -> float:
    """The decay of a step, counted from 0: min(decay, (1 + step) / (10 + step)) under warm-up."""
    return min(decay, (1 + step) / (_WARMUP + step)) if warmup else decay


def warmup_steps(decay: float) -> int:
    """Steps until warm-up has reached ``decay``, which is below 1."""
    # Less what rounding may have added: 1 - 0.9999 has four digits fewer than 0.9999.
    return max(0, math.ceil((_WARMUP * decay - 1) / (1 - decay) * (1 - 1e-9)))


def initial_share(steps: int, decay: float, *, warmup: bool) -> float:
    """How much of the EMA weights is the initial ones after so many steps: all decays' product."""
    warming = min(steps, warmup_steps(decay)) if warmup else 0
    rising = math.lgamma(warming + 1) + math.lgamma(_WARMUP) - math.lgamma(warming + _WARMUP)
    return math.exp(rising) * decay ** (steps - warming)


def _decays(value: float | list[float] | tuple[float, ...]) -> float | tuple[float, ...]:
    return tuple(value) if isinstance(value, list | tuple) else value


@attrs.frozen
class EmaConfig:
    """Exponential moving averages of the weights.

    Attributes:
        decay: per step, a number or several: each has an average of its own, called as it is written, and the
            first is the main one. 0 copies the weights.
        warmup: let the decay rise as min(decay, (1 + step) / (10 + step)), so that the average fits runs of
            any length; off, it is constant, as in the papers.
    """

    decay: float | tuple[float, ...] = attrs.field(default=0.9999, converter=_decays)
    warmup: bool = True

    @decay.validator
    def _are_decays(self, field: "attrs.Attribute[Any]", decay: float | tuple[float, ...]) -> None:
        decays = decay if isinstance(decay, tuple) else (decay,)
        for one in decays:
            and_(ge(0.0), lt(1.0))(self, field, one)
        if not decays or len(set(decays)) < len(decays):
            raise ConfigError(
                f"must be a number, or several that differ, got {list(decays)}; name each decay once"
            )

    def build(self, _: Facts) -> "ExponentialAverage":
        """Build it."""
        return ExponentialAverage(self.decay if isinstance(self.decay, tuple) else (self.decay,), self.warmup)


class ExponentialAverage:
    """See :class:`EmaConfig`. Fulfils :class:`thalweg.protocols.Average`.

    Attributes:
        names: the decays as they are written.
    """

    def __init__(self, decays: tuple[float, ...], warmup: bool) -> None:
        self.decays, self.warmup = decays, warmup
        self.names = tuple(map(str, decays))

    def __call__(self, network: nn.Module) -> MovingAverages:
        """The averages of a network."""
        return EMA(network, self.decays, warmup=self.warmup)

    def described(self, steps: int) -> str:
        """Over what a run of so many steps averages."""
        return " and ".join(self._described(steps, decay) for decay in self.decays)

    def warning(self, steps: int) -> str | None:
        """What is wrong with averages that reach back to before training; None if they don't."""
        shares = {decay: initial_share(steps, decay, warmup=self.warmup) for decay in self.decays}
        worst = max(shares, key=shares.__getitem__)
        if steps == 1 or shares[worst] < _NOTICEABLE:
            return None
        return (
            f"after {steps:,} steps {shares[worst]:.0%} of the EMA weights, which samples are generated "
            f"with, will be the untrained ones (training.average.decay is {worst:g}); lower "
            f"training.average.decay or set training.average.warmup=true"
        )

    def _described(self, steps: int, decay: float) -> str:
        if decay == 0:
            return "none, the weights themselves (training.average.decay is 0)"
        count = round(1 / (1 - decay_at(steps - 1, decay, warmup=self.warmup)))
        over = f"{count:,} steps" if count > 1 else "step"
        return f"over about the last {over} (decay {decay:g}{', with warm-up' if self.warmup else ''})"


class EMA(MovingAverages):
    """The averages of a network with one decay or several.

    Without warm-up one is, after n updates, decay^n w_0 + (1 - decay) sum_i decay^(n - i) w_i.

    Args:
        network: whose parameters to follow.
        decay: in [0, 1], a number or several; the first is the main one.
        warmup: whether decays rise with the step first (:func:`decay_at`).
    """

    def __init__(self, network: nn.Module, decay: float | tuple[float, ...], *, warmup: bool = False) -> None:
        decays = decay if isinstance(decay, tuple) else (decay,)
        named = {str(one): partial(decay_at, decay=one, warmup=warmup) for one in decays}
        super().__init__(network, named)
