"""The ladder: guidance away from several intermediate heads at once."""

from typing import Any

import attrs
from attrs.validators import and_, deep_iterable, ge, lt, optional
from torch import Tensor

from thalweg.calibration import TimeCurve
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.guidance import calibration_of, heads_of, within
from thalweg.types import ConditionalField, Head, Query
from thalweg_samplers.heads import weak_heads
from thalweg_samplers.intervals import Interval, check_interval
from thalweg_samplers.options import checked
from thalweg_samplers.scales import at

_WHO = "guidance ladder"
_WEIGHTS: Any = optional(deep_iterable(and_(ge(-100.0), lt(100.0))))
_DEPTHS: Any = optional(deep_iterable(ge(1)))


class Ladder:
    """v = v_f + sum_i a_i(t) (v_f - v_i) while low <= t <= high, v_f elsewhere, all heads in one pass.

    Of one head it is internal guidance of scale 1 + a. Without weights they are calibrated: those that give
    the velocity the least squared error on training data, times ``strength`` (:mod:`thalweg.calibrating`).

    Args:
        weights: a_i, one a head, of any sign; None for calibrated ones.
        after: the numbers of blocks after which the heads stand; None for all intermediate ones.
        strength: of calibrated weights.
        interval: low and high, both included.

    Raises:
        ConfigError: an option makes no sense.
    """

    def __init__(
        self,
        weights: tuple[float, ...] | None = None,
        after: tuple[int, ...] | None = None,
        strength: float = 3.0,
        interval: Interval = (0.0, 1.0),
    ) -> None:
        self.config = checked(
            LadderConfig, weights=weights, after=after, strength=strength, interval=interval
        )

    @property
    def needs_calibration(self) -> bool:
        """Whether the network's heads must have been measured."""
        return self.config.needs_calibration

    def __call__(self, field: ConditionalField) -> ConditionalField:
        """The guided field.

        Raises:
            ConfigError: the field is no network's own, or the network has not these heads, or another number
                of them, or they were not measured.
        """
        config, heads = self.config, heads_of(field, _WHO)
        facts: Facts | None = getattr(field, "facts", None)
        if facts is None:
            raise ConfigError(
                f"{_WHO} does not know this field's heads; let the field have a network's facts"
            )
        chosen = _chosen(config, facts)
        if config.weights is None:
            curves = calibration_of(field, _WHO).weights(chosen, config.strength)
        else:
            curves = tuple(TimeCurve((0.0,), (weight,)) for weight in config.weights)

        def guided(query: Query) -> Tensor:
            *weak, v_f = heads(query, (*chosen, Head()))
            v = v_f
            for v_i, curve in zip(weak, curves, strict=True):
                v = v + at(curve, query, v_f) * (v_f - v_i)
            return v

        return within(field, guided, config.interval)


@attrs.frozen
class LadderConfig:
    """Guidance away from several intermediate heads, in one pass.

    Attributes:
        weights: how far away from each, one a head and of any sign; none for calibrated ones.
        after: the numbers of blocks after which the heads stand; none for all intermediate ones.
        strength: of calibrated weights.
        interval: low and high between which it acts (0 is data, 1 is noise), both included.
    """

    weights: tuple[float, ...] | None = attrs.field(default=None, validator=_WEIGHTS)
    after: tuple[int, ...] | None = attrs.field(default=None, validator=_DEPTHS)
    strength: float = attrs.field(default=3.0, validator=[ge(0), lt(float("inf"))])
    interval: Interval = attrs.field(default=(0.0, 1.0), converter=tuple, validator=check_interval)

    @property
    def needs_calibration(self) -> bool:
        """Whether the network's heads must have been measured."""
        return self.weights is None

    def build(self, facts: Facts) -> Ladder:
        """The guidance.

        Raises:
            ConfigError: the network has not these heads, or there are not as many weights.
        """
        _chosen(self, facts)
        return Ladder(self.weights, self.after, self.strength, self.interval)


def _chosen(config: LadderConfig, facts: Facts) -> tuple[Head, ...]:
    chosen = weak_heads(_WHO, config.after, "plain", facts)
    if config.weights is not None and len(config.weights) != len(chosen):
        raise ConfigError(
            f"{_WHO} has {len(config.weights)} weights for the heads after "
            f"{', '.join(str(head.after) for head in chosen)}; give one for each"
        )
    return chosen
