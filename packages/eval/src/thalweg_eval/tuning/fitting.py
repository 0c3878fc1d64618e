"""Weights of a guidance ladder, fitted on samples, and how they do on noise that they were not fitted to."""

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from thalweg.arguments import Integers
from thalweg.calibration import Calibration
from thalweg.types import Head
from thalweg_eval.tuning.points import CALIBRATED, INTERNAL, LADDER, Point, Scan

TARGETS = ("frechet_distance", "kid")
EVALUATIONS = Integers(2, 10_000)
FITTED = "fitted ladder"

_BOUND = 20.0
_DECIMALS = 4  # of weights: what is finer is below what samples can tell, and files are called by it
_LEAST_STEP = 0.25


@attrs.frozen
class Fit:
    """What a fit came to.

    Attributes:
        heads: depths of the ladder's heads.
        start: the calibrated weights, averaged over time.
        weights: the best that were tried.
        values: of the target, in the order in which weights were tried; the first is the start's.
    """

    heads: tuple[int, ...]
    start: tuple[float, ...]
    weights: tuple[float, ...]
    values: tuple[float, ...]


def minimised(
    target: Callable[[tuple[float, ...]], float], start: Sequence[float], evaluations: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Minimise a target by Nelder and Mead's method (1965), within -20 and 20 in each direction.

    It asks for no derivative, and the target is the same function at each call as its noise is; so it is
    deterministic, and a fit that was interrupted takes the same way again.

    Args:
        target: what is minimised, of weights that are rounded.
        start: where.
        evaluations: how often the target is computed, at most.

    Returns:
        the best weights that were tried, and all values in order.
    """
    # scipy takes a moment to import; help and configuration do without it.
    from scipy.optimize import minimize

    tried: list[tuple[float, tuple[float, ...]]] = []

    def asked(weights: npt.NDArray[np.float64]) -> float:
        rounded = tuple(round(float(one), _DECIMALS) + 0.0 for one in weights)
        tried.append((target(rounded), rounded))
        return tried[-1][0]

    origin = np.clip(np.array(start, np.float64), -_BOUND, _BOUND)
    steps = np.maximum(_LEAST_STEP, np.abs(origin) / 2)
    # Away from the bounds, so that no corner of the simplex is clipped onto another.
    corners = origin + np.diag(np.where(origin + steps > _BOUND, -steps, steps))
    minimize(
        asked,
        origin,
        method="Nelder-Mead",
        bounds=[(-_BOUND, _BOUND)] * len(origin),
        options={
            "initial_simplex": np.vstack([origin, corners]),
            "maxfev": evaluations,
            "xatol": 10.0**-_DECIMALS,
            "fatol": 0.0,
        },
    )
    return min(tried)[1], tuple(value for value, _ in tried)


def start_of(
    calibration: Calibration, heads: Sequence[int], strength: float, interval: tuple[float, float] | None
) -> tuple[float, ...]:
    """Calibrated weights as numbers: the mean over the bins of time whose middle the guidance acts at.

    Raises:
        ConfigError: a head was not measured.
    """
    low, high = interval or (0.0, 1.0)
    curves = calibration.weights([Head(depth) for depth in heads], strength)
    found = []
    for curve in curves:
        inside = [value for t, value in zip(curve.times, curve.values, strict=True) if low <= t <= high]
        found.append(float(np.mean(inside or curve.values)))
    return tuple(round(one, _DECIMALS) + 0.0 for one in found)


def ladder_of(scan: Scan, weights: Sequence[float], like: Point, name: str) -> Point:
    """The ladder with these weights, in the interval and of the heads of another one."""
    options: dict[str, Any] = {key: value for key, value in like.guidance[0].items() if key != "strength"}
    return Point(
        name, ({**options, "weights": list(weights)}, *scan.around), after=like.after, interval=like.interval
    )


def single_heads(scan: Scan, heads: Sequence[int]) -> list[Point]:
    """Calibrated internal guidance by each of the ladder's heads alone, under its strengths and intervals."""
    return attrs.evolve(scan, method={"type": INTERNAL}, after=tuple(heads)).grid()


def is_calibrated_ladder(point: Point) -> bool:
    """Whether a point is a ladder of calibrated weights."""
    return point.curve.startswith(f"{CALIBRATED} {LADDER}")
