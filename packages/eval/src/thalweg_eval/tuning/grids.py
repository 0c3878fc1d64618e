"""Grids of scales, strengths, intervals and depths, as they are typed or given in Python (no torch here)."""

import math
from collections.abc import Sequence

from thalweg.arguments import described
from thalweg.errors import ConfigError

Grid = str | Sequence[float]
"""Numbers, or a text of numbers and ranges ``start:stop:step``, both ends included."""

Intervals = str | Sequence[Sequence[float]]
"""Pairs of times, or a text such as ``0:1,0.3:1``."""

_MOST = 1_000
_SLACK = 1e-9  # relative to the step: (3 - 1) / 0.1 is less than 20 in floating point
_DIGITS = 10


def grid_of(name: str, stated: Grid, example: str) -> tuple[float, ...]:
    """Numbers in ascending order, each once.

    Args:
        name: of the option, for messages.
        stated: the grid.
        example: of what is expected.

    Raises:
        ConfigError: it cannot be read, or has too many numbers.
    """
    if isinstance(stated, str):
        found = [
            number for part in stated.split(",") for number in _part(name, stated, part.strip(), example)
        ]
    elif isinstance(stated, Sequence) and all(_is_number(one) for one in stated):
        found = [float(one) for one in stated]
    else:
        raise ConfigError(f"{name} is {described(stated)}; give numbers, such as {example}")
    if not found or not all(map(math.isfinite, found)):
        raise _unreadable(name, stated, example)
    if len(found) > _MOST:
        raise ConfigError(
            f"{name} has {len(found):,} values, and a scan takes at most {_MOST:,}; take a larger step"
        )
    return tuple(sorted(set(found)))


def intervals_of(stated: Intervals) -> tuple[tuple[float, float], ...]:
    """Intervals of time, each once.

    Raises:
        ConfigError: they cannot be read.
    """
    name, example = "intervals", "0:1,0.3:1"
    parts: Sequence[Sequence[float]]
    if isinstance(stated, str):
        try:
            parts = [[float(end) for end in part.split(":")] for part in stated.split(",")]
        except ValueError:
            raise _unreadable(name, stated, example) from None
    else:
        parts = stated if isinstance(stated, list | tuple) else ()
    pairs: list[tuple[float, float]] = []
    for part in parts:
        if not isinstance(part, Sequence) or len(part) != 2 or not all(map(_is_number, part)):
            raise _unreadable(name, stated, example)
        low, high = float(part[0]), float(part[1])
        if not 0 <= low <= high <= 1:
            raise ConfigError(
                f"intervals has {text_of(low)}:{text_of(high)}; each is low:high with 0 <= low <= high <= 1, "
                "where 0 is data and 1 is noise"
            )
        pairs.append((low, high))
    if not pairs:
        raise _unreadable(name, stated, example)
    return tuple(dict.fromkeys(pairs))


def text_of(number: float) -> str:
    """A number as short as it can be written without changing it."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


def _part(name: str, stated: str, part: str, example: str) -> list[float]:
    try:
        ends = [float(end) for end in part.split(":")]
    except ValueError:
        raise _unreadable(name, stated, example) from None
    if len(ends) == 1:
        return ends
    if len(ends) != 3 or not all(map(math.isfinite, ends)):
        raise _unreadable(name, stated, example)
    start, stop, step = ends
    if step <= 0 or stop < start:
        raise ConfigError(
            f"{name} has the range {part}; write start:stop:step with a step above 0 and a stop from "
            f"start on, such as {example}"
        )
    count = math.floor((stop - start) / step + _SLACK) + 1
    if count > _MOST:
        raise ConfigError(
            f"{name} has {count:,} values in {part}, and a scan takes at most {_MOST:,}; take a larger step"
        )
    return [round(start + place * step, _DIGITS) for place in range(count)]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unreadable(name: str, stated: object, example: str) -> ConfigError:
    return ConfigError(f"{name} cannot be read from {described(stated)}; write it as in {example}")
