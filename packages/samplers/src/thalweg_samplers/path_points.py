"""Times from noise to data with the weights of the path there, evenly spaced in t or in the half-log-SNR."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import attrs
import torch

from thalweg.interpolant import Interpolant
from thalweg_samplers.times import uniform_times

Spacing = Literal["t", "lambda"]
"""In what the times of the steps are even: in t, or in lambda = log(alpha / sigma)."""

Ends = tuple[float, float]
"""The time at which the first step ends, and the one at which the last begins."""


@attrs.frozen
class PathPoint:
    """A time of a path.

    Attributes:
        t: the time.
        alpha: weight of the data.
        sigma: weight of the noise.
    """

    t: float
    alpha: float
    sigma: float

    @property
    def half_log_snr(self) -> float:
        """lambda = log(alpha / sigma): -inf at noise, inf at data."""
        if self.alpha == 0 or self.sigma == 0:
            return math.inf if self.alpha else -math.inf
        return math.log(self.alpha) - math.log(self.sigma)


def path_points(path: Interpolant, steps: int, spacing: Spacing, ends: Ends | None) -> list[PathPoint]:
    """The ends of all steps, from t = 1 to t = 0.

    lambda is infinite at both ends, so it spaces the times between the first and the last step alone.

    Args:
        path: from data to noise.
        steps: how many.
        spacing: of the times between ``ends``.
        ends: where the first step ends and the last begins; None for where they do with equal steps in t.
    """
    first, last = (1 - 1 / steps, 1 / steps) if ends is None else ends
    inner = steps - 1
    if inner < 2:
        between = uniform_times(first, first, inner)
    elif spacing == "t":
        between = uniform_times(first, last, inner)
    else:
        log_ratio = [-point.half_log_snr for point in _weighted(path, [first, last])]
        even = torch.tensor(uniform_times(log_ratio[0], log_ratio[1], inner), dtype=torch.float64)
        between = [first, *path.time_of_ratio(even.exp()).tolist()[1:-1], last]
    return [PathPoint(1.0, 0.0, 1.0), *_weighted(path, between), PathPoint(0.0, 1.0, 0.0)]


def check_ends(instance: Any, _: object, ends: Sequence[float] | None) -> None:
    """Two times with 1 > first > last > 0 for at least three steps, as a validator of attrs."""
    if ends is None:
        return
    if len(ends) != 2 or not 1 > ends[0] > ends[1] > 0:
        raise ValueError(f"'ends' must be two times with 1 > first > last > 0: {ends}")
    if instance.steps < 3:
        raise ValueError(f"'ends' needs at least 3 steps, one of them between its times: {instance.steps}")


def _weighted(path: Interpolant, times: Sequence[float]) -> list[PathPoint]:
    t = torch.tensor(times, dtype=torch.float64)
    weights = zip(path.schedule.alpha(t).tolist(), path.schedule.sigma(t).tolist(), strict=True)
    return [PathPoint(time, alpha, sigma) for time, (alpha, sigma) in zip(times, weights, strict=True)]
