"""What sections of an analysis's page have in common: curves over time and depth, and a choice of them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from thalweg_eval.report import Curve


def over_time(tables: Sequence[Mapping[str, Any]], middles: Sequence[float], more: str = "") -> list[Curve]:
    """A curve over t of each table, called by its name and ``more``."""
    return [Curve(f"{one['name']}{more}", middles, of_time(one["values"])) for one in tables]


def across_depth(name: str, tables: Sequence[Mapping[str, Any]]) -> Curve:
    """The means over t of all tables over the blocks passed."""
    return Curve(name, [one["after"] for one in tables], of_time([mean(one["values"]) for one in tables]))


def of_time(values: Sequence[float | None]) -> list[float]:
    """The values, with gaps where there are none."""
    return [math.nan if one is None else one for one in values]


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of those that are there; None if none is."""
    there = [one for one in values if one is not None]
    return sum(there) / len(there) if there else None


def selected(tables: Sequence[Any], most: int) -> list[Any]:
    """So many of them, evenly from first to last, that a chart can be read."""
    if len(tables) <= most:
        return list(tables)
    steps = [round(place * (len(tables) - 1) / (most - 1)) for place in range(most)]
    return [tables[step] for step in steps]


def shown_bins(middles: Sequence[float]) -> list[int]:
    """Three bins of time, near data, in the middle and near noise; fewer if there are fewer."""
    last = len(middles) - 1
    return sorted({round(last / 10), last // 2, last - round(last / 10)})


def time_of(middle: float) -> str:
    """A time in words."""
    return f"t = {middle:.2f}"
