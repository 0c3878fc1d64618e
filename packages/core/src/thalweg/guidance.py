"""Guidance as a map from field to field: intervals, composition, and the field that a sampler follows."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from thalweg.errors import ConfigError, PluginError
from thalweg.protocols import Guidance
from thalweg.types import Condition, ConditionalField, Head, Query

__all__ = [
    "Average",
    "Broken",
    "ConditionedField",
    "Early",
    "Heads",
    "breaks_of",
    "calibration_of",
    "check_average",
    "composed",
    "early_of",
    "heads_of",
    "needs_calibration",
    "opened",
    "within",
]

Heads = Callable[[Query, Sequence[Head | int]], tuple[Tensor, ...]]
"""``heads(query, wanted)``: the velocities that some of a network's heads read, in one pass."""

Early = Callable[[Query, Sequence[Head | int], Callable[[tuple[Tensor, ...]], Tensor]], Any]
"""``early(query, first, go_on)``: those of intermediate heads, and the last one's of the samples that
``go_on`` picks by them; see :meth:`thalweg.network.FlowNetwork.early`."""

Average = Callable[[Tensor, Tensor, Tensor], Tensor]
"""``average(x, t_N, r_N)``: the average velocity over [r, t] of the flow through x at t."""

# A time of a grid such as linspace(1, 0, 11)[3] misses 0.7 by a rounding error; it counts as 0.7.
_ROUNDING = 1e-9


def opened(query: Query, interval: tuple[float, float]) -> Int[Tensor, " n"]:
    """The rows of a query whose time is in an interval, both ends included."""
    return _inside(query, interval).nonzero().flatten()


def _inside(query: Query, interval: tuple[float, float]) -> Bool[Tensor, " N"]:
    low, high = interval
    t_N = query.decides
    return (t_N >= low - _ROUNDING) & (t_N <= high + _ROUNDING)


def within(field: ConditionalField, guided: ConditionalField, interval: tuple[float, float]) -> "Broken":
    """The field that is ``guided`` while low <= t <= high and ``field`` elsewhere.

    Args:
        field: outside.
        guided: inside; asked for the samples inside alone.
        interval: low and high, both included.
    """

    def velocity(query: Query) -> Tensor:
        inside_N = _inside(query, interval)
        if inside_N.all():
            return guided(query)
        if not inside_N.any():
            return field(query)
        within_n, without_n = inside_N.nonzero().flatten(), (~inside_N).nonzero().flatten()
        whole = query.x.new_empty(query.x.shape)
        whole[within_n] = guided(query.select(within_n))
        whole[without_n] = field(query.select(without_n))
        return whole

    return Broken(velocity, interval)


@attrs.frozen(eq=False)
class Broken:
    """A conditional field that jumps.

    Attributes:
        velocity: the field itself.
        breaks: the times at which it jumps.
    """

    velocity: ConditionalField
    breaks: tuple[float, ...]

    def __call__(self, query: Query) -> Tensor:
        """The velocity."""
        return self.velocity(query)


def breaks_of(field: ConditionalField) -> tuple[float, ...]:
    """The times at which a field says that it jumps."""
    return tuple(getattr(field, "breaks", ()))


def heads_of(field: ConditionalField, who: str) -> Heads:
    """The network's heads, of which only the innermost field knows: ``heads(query, wanted)``.

    Args:
        field: what a guidance was given.
        who: that guidance, for the message.

    Raises:
        ConfigError: another guidance stands further inside.
    """
    heads: Heads = _innermost(field, "heads", who)
    return heads


def early_of(field: ConditionalField, who: str) -> Early:
    """The network's pass that may end early, of which only the innermost field knows.

    Args:
        field: what a guidance was given.
        who: that guidance, for the message.

    Raises:
        ConfigError: another guidance stands further inside.
    """
    early: Early = _innermost(field, "early", who)
    return early


def _innermost(field: ConditionalField, what: str, who: str) -> Any:
    found = getattr(field, what, None)
    if found is None:
        raise ConfigError(
            f"{who} reads the network's own heads, so it must stand innermost; make it the first of the "
            'list, as in guidance = ["internal", "cfg"]'
        )
    return found


def check_average(sampler: Any, guidances: Iterable[Any]) -> None:
    """Make sure that a sampler which follows average velocities finds some behind the guidance.

    Args:
        sampler: one that is built.
        guidances: those around the network, built.

    Raises:
        ConfigError: a guidance changes the velocity and says nothing of its average.
    """
    if not getattr(sampler, "needs_average", False):
        return
    for guidance in guidances:
        if not getattr(guidance, "offers_average", False):
            raise ConfigError(
                f"the sampler follows average velocities, and {_named(guidance)} changes the velocity and "
                "knows no average of it; set guidance to none (the objective flow_map bakes guidance in), or "
                "take a sampler of velocities, such as euler"
            )


def needs_calibration(guidance: Any) -> bool:
    """Whether a guidance, or the config of one, uses what was measured of the network's heads."""
    return bool(getattr(guidance, "needs_calibration", False))


def calibration_of(field: ConditionalField, who: str) -> Any:
    """What was measured of the network's heads, a :class:`thalweg.calibration.Calibration`.

    Args:
        field: the innermost one.
        who: the guidance that needs it, for the message.

    Raises:
        ConfigError: nobody has measured them.
    """
    calibration = getattr(field, "calibration", None)
    if calibration is None:
        raise ConfigError(
            f"{who} is calibrated, and this network's heads were not measured; let "
            "network.calibration = thalweg.calibrate(network, dataset), or state a scale in numbers"
        )
    return calibration


def composed(field: ConditionalField, guidances: Iterable[Guidance]) -> ConditionalField:
    """One guidance around another, from the field outwards.

    Breaks, and the way to another network, pass through those that know nothing of them. An average velocity
    does not: it is that of the field as it was.

    Raises:
        ConfigError: a guidance does not find what it needs where it stands.
        PluginError: one gives no field.
    """
    for guidance in guidances:
        guided = guidance(field)
        if guided is field:
            continue
        if not callable(guided):
            raise PluginError(
                f"{_named(guidance)} gives no field; return a function of the query that gives a velocity"
            )
        breaks = tuple(dict.fromkeys((*breaks_of(field), *breaks_of(guided))))
        beside, average = getattr(field, "beside", None), getattr(guided, "average", None)
        field = _Layer(guided, breaks, beside, average, _named(guidance))
    return field


@attrs.frozen(eq=False)
class _Layer:
    """What a guidance made, with what it passes on of the field below."""

    velocity: ConditionalField
    breaks: tuple[float, ...]
    beside: Any
    average: Any
    name: str

    def __call__(self, query: Query) -> Tensor:
        velocity = self.velocity(query)
        if not isinstance(velocity, Tensor) or velocity.shape != query.x.shape:
            found = tuple(velocity.shape) if isinstance(velocity, Tensor) else type(velocity).__name__
            raise PluginError(
                f"{self.name} gives a velocity of {found} for x of {tuple(query.x.shape)}; keep the shape"
            )
        return velocity


@attrs.frozen(eq=False)
class ConditionedField:
    """The velocity field that a sampler follows: a conditional one, under one condition a sample.

    Attributes:
        field: whatever guidance made of the network, or the network.
        condition: of each sample.
        side: the times that decide on which side of a jump the samples are; None where each time decides.
    """

    field: ConditionalField
    condition: Condition
    side: Float64[Tensor, " N"] | None = None

    @property
    def breaks(self) -> tuple[float, ...]:
        """The times at which the field jumps."""
        return breaks_of(self.field)

    @property
    def average(self) -> Average | None:
        """``average(x, t, r)``, the average velocity over [r, t]; None where the field offers none."""
        average = getattr(self.field, "average", None)
        if average is None:
            return None
        return lambda x, t, r: average(Query(x, t, self.condition, self.side), r)

    def __call__(self, x: Float[Tensor, "N *shape"], t: Float64[Tensor, " N"]) -> Float[Tensor, "N *shape"]:
        """The velocity at x and t."""
        return self.field(Query(x, t, self.condition, self.side))

    def select(self, index: Int[Tensor, " n"]) -> "ConditionedField":
        """The field of the samples at ``index`` alone."""
        side = None if self.side is None else self.side[index]
        return ConditionedField(self.field, self.condition.select(index), side)

    def during(self, t: Float64[Tensor, " N"]) -> "ConditionedField":
        """The field as it is on t's side of its jumps."""
        return attrs.evolve(self, side=t)


def _named(guidance: Any) -> str:
    cls = guidance if hasattr(guidance, "__qualname__") else type(guidance)
    return f"the guidance {cls.__qualname__} of {cls.__module__}"
