"""Axes: round ticks that cover a range, their labels, and where a value is between the ends."""

import math
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from thalweg_eval.report.numbers import fixed, scientific

_MANTISSAS = (1.0, 2.0, 2.5, 5.0)
# Multiples of a power of ten, from coarse to fine, for logarithmic axes of few decades.
_LADDERS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0))
_MOST_DECADES = 7


@attrs.frozen
class Axis:
    """The scale of one direction of a chart.

    Attributes:
        low: value at its beginning.
        high: value at its end, above low.
        ticks: positions of the labels, within [low, high].
        labels: one a tick.
        log: whether distances are ratios.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    labels: tuple[str, ...]
    log: bool = False

    def place(self, values: float | npt.NDArray[np.float64]) -> Any:
        """Where values are on the axis, as a number or an array like them: 0 at low, 1 at high."""
        scale = np.log if self.log else np.float64
        low, high = scale(self.low), scale(self.high)
        return ((np.log(values) if self.log else values) - low) / (high - low)


def step_axis(low: float, high: float) -> Axis:
    """A linear axis from low to high exactly, so that it ends where the data end, with ticks inside."""
    low, high = _widen(low, high)
    step, first, last = _choose_step(low, high)
    ticks = [tick for tick in _multiples(step, first, last) if low <= tick <= high]
    return Axis(low, high, tuple(ticks), _labels(ticks, step))


def value_axis(low: float, high: float, *, log: bool = False) -> Axis:
    """An axis from a round tick at or below low to one at or above high.

    Args:
        low: smallest value shown; positive if log.
        high: largest value shown, at least low.
        log: whether the axis is logarithmic.
    """
    low, high = _widen(low, high, log=log)
    if log and high >= 2 * low:
        ticks = _log_ticks(low, high)
        labels = tuple(_log_label(tick) for tick in ticks)
    else:
        # Within a factor of two, the round numbers are the same on both kinds of axis.
        step, first, last = _choose_step(low, high)
        ticks = _multiples(step, first, last)
        labels = _labels(ticks, step)
    return Axis(min(ticks[0], low), max(ticks[-1], high), tuple(ticks), labels, log)


def _widen(low: float, high: float, *, log: bool = False) -> tuple[float, float]:
    """A range to draw even where all values are the same, up to the resolution of float64."""
    if high - low > 1e-9 * max(abs(low), abs(high)):
        return low, high
    if log:
        return low / 1.25, high * 1.25
    margin = abs(low) / 4 or 1.0
    return low - margin, high + margin


def _choose_step(low: float, high: float) -> tuple[float, int, int]:
    """The round step whose multiples cover the range in about five intervals with little waste.

    Returns the step and the first and last multiple.
    """
    exponent = math.floor(math.log10((high - low) / 5))
    candidates = []
    for power in (exponent - 1, exponent, exponent + 1):
        for mantissa in _MANTISSAS:
            step = float(f"{mantissa}e{power}")
            # The slack takes 0.30000000000000004 for 0.3.
            first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
            if last - first < 2:
                continue  # two ticks show no scale
            waste = (last - first) * step / (high - low) - 1
            cost = waste + 0.08 * abs(last - first - 5) + (0.05 if mantissa == 2.5 else 0)
            candidates.append((cost, step, first, last))
    return min(candidates)[1:]


def _multiples(step: float, first: int, last: int) -> list[float]:
    decimals = _decimals(step)
    return [round(index * step, decimals) for index in range(first, last + 1)]


def _decimals(step: float) -> int:
    mantissa, exponent = f"{step:.1e}".split("e")
    return (1 if mantissa == "2.5" else 0) - int(exponent)


def _labels(ticks: list[float], step: float) -> tuple[str, ...]:
    if step < 1e-5 or max(map(abs, ticks), default=0) >= 1e9:
        return tuple(fixed(tick, 0) if tick == 0 else scientific(tick) for tick in ticks)
    return tuple(fixed(tick, max(0, _decimals(step))) for tick in ticks)


def _log_ticks(low: float, high: float) -> list[float]:
    floor, ceiling = math.floor(math.log10(low)), math.ceil(math.log10(high))
    stride = math.ceil((ceiling - floor) / _MOST_DECADES)
    powers = range(floor, ceiling + stride, stride)
    candidates = []
    for ladder in _LADDERS if stride == 1 else _LADDERS[:1]:
        rungs = [float(f"{multiple}e{power}") for power in powers for multiple in ladder]
        first = max(index for index, rung in enumerate(rungs) if rung <= low * (1 + 1e-9))
        last = min(index for index, rung in enumerate(rungs) if rung >= high * (1 - 1e-9))
        waste = math.log(rungs[last] / rungs[first]) / math.log(high / low) - 1
        candidates.append((waste + 0.08 * abs(last - first - 4), rungs[first : last + 1]))
    return min(candidates)[1]


def _log_label(tick: float) -> str:
    if not 1e-4 <= tick < 1e6:
        return scientific(tick)
    return fixed(tick, len(f"{tick:.6f}".rstrip("0").partition(".")[2]))
