"""How soon a curve reaches a score."""

import math
from collections.abc import Sequence

import attrs

from thalweg.report.model import Floats


@attrs.frozen
class Scores:
    """A score over the length of a run.

    Attributes:
        name: whose.
        at: steps, or seconds; ascending.
        values: the score there.
    """

    name: str
    at: Floats
    values: Floats


def reached(scores: Scores, target: float, *, higher: bool = False) -> float | None:
    """Where a score is as good as the target for the first time, among the places that were judged.

    Nothing is interpolated, so the answer is coarse by the distance between them, and never too good.

    Args:
        scores: of one run.
        target: what is to be reached.
        higher: whether more is better.
    """
    for at, value in zip(scores.at, scores.values, strict=True):
        if math.isfinite(value) and (value >= target if higher else value <= target):
            return at
    return None


def best(scores: Scores, *, higher: bool = False) -> float | None:
    """The best score of a run; None if it has none that is finite."""
    finite = [value for value in scores.values if math.isfinite(value)]
    return None if not finite else (max(finite) if higher else min(finite))


def reaching(
    runs: Sequence[Scores], *, higher: bool = False
) -> list[tuple[str, float | None, float | None, dict[str, float | None]]]:
    """Each run's best score, where it is first reached, and how many times sooner the others get there.

    Returns:
        one row a run: its name, its best score, where, and by name of every other run the ratio of
        this run's place to the other's: 2.0 says that the other needs half as many; None says that it
        never gets there.
    """
    rows = []
    for run in runs:
        target = best(run, higher=higher)
        own = None if target is None else reached(run, target, higher=higher)
        ratios: dict[str, float | None] = {}
        for other in runs:
            if other is run:
                continue
            place = None if target is None else reached(other, target, higher=higher)
            ratios[other.name] = None if own is None or not place else own / place
        rows.append((run.name, target, own, ratios))
    return rows
