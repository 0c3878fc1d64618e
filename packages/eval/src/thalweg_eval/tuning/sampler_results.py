"""Which sampler is chosen, and what is said of it."""

from collections.abc import Sequence
from typing import Any

from thalweg_eval.ablation.spread import Spread, spread
from thalweg_eval.tuning.results import best_of, difference_of, row_with
from thalweg_eval.tuning.sampler_points import SamplerPoint
from thalweg_eval.tuning.scorer import Scored

RULE = (
    "Chosen is the least NFE of all points whose difference to the best mean, taken seed by seed, has a 95 % "
    "confidence interval (Student's t) that includes zero."
)


def cheapest(
    scored: Sequence[Scored[SamplerPoint]], number: str, *, higher: bool
) -> tuple[Scored[SamplerPoint], list[Scored[SamplerPoint]]]:
    """The point with the least NFE of those that are not known to be worse than the best, and all of those.

    Under a single seed nothing is known of the noise, and the best alone is among them.

    Args:
        scored: all points.
        number: that is chosen by.
        higher: whether more of that is better.
    """
    best = best_of(scored, number, higher=higher)
    alike = [one for one in scored if one is best or _is_alike(difference_of(one, best, number))]
    # Of equal cost the better one.
    sign = -1 if higher else 1
    chosen = min(alike, key=lambda one: (_cost(one), sign * spread(one.numbers(number)).mean))
    return chosen, alike


def row_of(one: Scored[SamplerPoint], best: Scored[SamplerPoint]) -> dict[str, Any]:
    """A point in plain values, with its numbers and how they differ from those of the best point."""
    own = {"sampler": dict(one.point.sampler), "nfe": one.nfe, "seconds": one.seconds}
    return row_with(own, one, best)


def verdict(
    best: Scored[SamplerPoint], chosen: Scored[SamplerPoint], alike: int, number: str, seeds: int
) -> str:
    """What is best, what is chosen, and why.

    Args:
        best: the point with the best mean.
        chosen: the one that is chosen.
        alike: how many are not known to be worse than the best, itself among them.
        number: that is chosen by.
        seeds: how many each point has.
    """
    said = f"Best in {number} ({spread(best.numbers(number))}) is {_named(best)}"
    if seeds == 1:
        return (
            f"{said}, which is chosen. One seed says nothing of the noise: state --seeds 3 or more to choose "
            "the least NFE within it."
        )
    if chosen is best:
        if alike == 1:
            return f"{said}, which is chosen: no other point is within its noise."
        return f"{said}, which is chosen: of the {alike} points within its noise it has the least NFE."
    return (
        f"{said}. Chosen is {_named(chosen)}: of the {alike} points within that noise it has the least NFE. "
        f"Its difference to the best is {difference_of(chosen, best, number)}."
    )


def edge_of(best: SamplerPoint, points: Sequence[SamplerPoint]) -> str:
    """A sentence if the best point is the most costly of its curve, so that more may be better."""
    mine = [one for one in points if one.curve == best.curve]
    if len(mine) < 2 or mine[-1] != best:
        return ""
    more = "more steps" if best.axis == "steps" else "a smaller tolerance"
    return (
        f"The best is the most costly point of {best.curve}: {more} may be better still, and a longer scan "
        "computes only what is new."
    )


def _is_alike(difference: Spread) -> bool:
    return difference.half_width is not None and abs(difference.mean) <= difference.half_width


def _cost(one: Scored[SamplerPoint]) -> float:
    return float("inf") if one.nfe is None else one.nfe


def _named(one: Scored[SamplerPoint]) -> str:
    nfe = "" if one.nfe is None else f" (NFE {one.nfe:g})"
    return f"{one.point.name}{nfe}"
