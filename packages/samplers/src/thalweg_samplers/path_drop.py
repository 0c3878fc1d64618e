"""Path-drop guidance: the weak field is the same network without its middle blocks."""

import attrs
from torch import Tensor

from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.guidance import within
from thalweg.types import ConditionalField, Query
from thalweg_samplers.intervals import Interval, check_interval
from thalweg_samplers.options import checked
from thalweg_samplers.scales import Scale, as_scale, at, check_number_or_curve, curve_of, is_one, led

_WHO = "path-drop guidance"


class PathDrop:
    """v = v_d + w(t) (v - v_d) while low <= t <= high, v elsewhere; v_d skips blocks first..last.

    The weak field of SPRINT (2025), of a network that need not have been trained with it. One pass and the
    share of a second one that is left.

    Args:
        scale: 1 leaves the network's velocity as it is; a number, or points (t, scale) of a curve.
        skip: first and last block that is skipped, counted from 1; None for all but a
            quarter of them at each end, at least one.
        interval: low and high, both included.

    Raises:
        ConfigError: an option makes no sense.
    """

    def __init__(
        self, scale: Scale = 1.5, skip: tuple[int, int] | None = None, interval: Interval = (0.0, 1.0)
    ) -> None:
        self.config = checked(PathDropConfig, scale=scale, skip=skip, interval=interval)

    def __call__(self, field: ConditionalField) -> ConditionalField:
        """The guided field.

        Raises:
            ConfigError: the field is no network's own, or the network has no such blocks.
        """
        config = self.config
        if is_one(config.scale):
            return field
        without = getattr(field, "without", None)
        if without is None:
            raise ConfigError(
                f"{_WHO} skips the network's own blocks, so it must stand innermost; make it the first of "
                'the list, as in guidance = ["path_drop", "cfg"]'
            )
        facts: Facts = field.facts  # type: ignore[attr-defined]  # it is a network's
        first, last = _skipped(config.skip, facts)
        weak: ConditionalField = without(first - 1, last)
        curve = curve_of(config.scale)

        def guided(query: Query) -> Tensor:
            v_d, v = weak(query), field(query)
            return led(v, v_d, at(curve, query, v))

        return within(field, guided, config.interval)


@attrs.frozen
class PathDropConfig:
    """Guidance away from the network without its middle blocks.

    Attributes:
        scale: 1 is no guidance; a number, or points ``[t, scale]`` of a curve.
        skip: first and last block that the weak field skips, counted from 1; none for all but a quarter of
            them at each end, at least one.
        interval: low and high between which it acts (0 is data, 1 is noise), both included.
    """

    scale: Scale = attrs.field(default=1.5, converter=as_scale, validator=check_number_or_curve)
    skip: tuple[int, int] | None = None
    interval: Interval = attrs.field(default=(0.0, 1.0), converter=tuple, validator=check_interval)

    def build(self, facts: Facts) -> PathDrop:
        """The guidance.

        Raises:
            ConfigError: the network has no such blocks, or none would be left.
        """
        _skipped(self.skip, facts)
        return PathDrop(self.scale, self.skip, self.interval)


def _skipped(skip: tuple[int, int] | None, facts: Facts) -> tuple[int, int]:
    depth = facts.depth
    if depth < 2 or (skip is None and depth < 3):
        raise ConfigError(
            f"{_WHO} needs a network with blocks to skip and others to keep, and this one has {depth}; "
            f"{'say which to skip, as in skip=(2, 2)' if depth == 2 else 'remove the guidance'}"
        )
    margin = max(1, depth // 4)
    first, last = (margin + 1, depth - margin) if skip is None else skip
    if not 1 <= first <= last <= depth or last - first + 1 >= depth:
        raise ConfigError(
            f"{_WHO} is to skip blocks {first} to {last} of {depth}; skip some of 1 to {depth}, and leave "
            "some"
        )
    return first, last
