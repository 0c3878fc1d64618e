"""The interval of time within which a guidance acts."""

from typing import Any

import attrs

Interval = tuple[float, float]


def interval_field(low: float = 0.0, high: float = 1.0) -> Any:
    """A field with an interval: two times with 0 <= low <= high <= 1, both included."""
    return attrs.field(default=(low, high), converter=tuple, validator=_check)


def _check(_: object, __: object, interval: tuple[float, ...]) -> None:
    if len(interval) != 2 or not 0 <= interval[0] <= interval[1] <= 1:
        raise ValueError(f"'interval' must be two times with 0 <= low <= high <= 1: {interval}")
