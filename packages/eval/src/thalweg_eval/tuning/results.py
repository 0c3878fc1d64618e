"""What a tuning found, as plain values: the content of results.json."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from thalweg.errors import ConfigError
from thalweg.passport import Passport
from thalweg.suggestions import did_you_mean, known_words
from thalweg_eval.ablation.spread import Spread, spread
from thalweg_eval.tuning.grids import text_of
from thalweg_eval.tuning.points import UNGUIDED, Kind, Point
from thalweg_eval.tuning.scorer import Scored

_ROUNDING = 1e-9
"""Relative to a number: differences that deviate less from one another are the same."""


def number_of(passport: Passport, asked: str | None) -> str:
    """The number that is meant: by its own name, or the first of a metric; by default the first that ranks.

    Raises:
        ConfigError: there is none, or neither more nor less of it is better.
    """
    ranking = {name: str(one["metric"]) for name, one in passport.numbers.items() if one.get("better")}
    if asked is None:
        if not ranking:
            raise ConfigError("the protocol computes no number of which more or less is better; add a metric")
        return next(iter(ranking))
    if asked in ranking:
        return asked
    found = next((name for name, metric in ranking.items() if metric == asked), None)
    if found is None:
        known = [*ranking, *dict.fromkeys(ranking.values())]
        nearest = did_you_mean(asked, known) or known_words(known)
        raise ConfigError(f"the protocol computes no '{asked}'{nearest}")
    return found


def best_of(scored: Sequence[Scored[Kind]], number: str, *, higher: bool) -> Scored[Kind]:
    """The one with the best mean; of equals the first."""
    sign = -1 if higher else 1
    return min(scored, key=lambda one: sign * spread(one.numbers(number)).mean)


def edge_of(best: Point, points: Sequence[Point]) -> str:
    """A sentence if the best point ends its curve, so that a better one may be beyond; else empty."""
    along = sorted(one.at for one in points if one.curve == best.curve and one.at is not None)
    if best.at is None or not along or along[0] < best.at < along[-1] or best.at == 0:
        return ""
    where = "largest" if best.at == along[-1] else "smallest"
    return (
        f"The best of the scan is at its edge, {best.axis} {text_of(best.at)} being the {where} of "
        f"{best.curve}: a better one may be beyond, and a longer scan computes only what is new."
    )


def difference_of(one: Scored[Kind], baseline: Scored[Kind], number: str) -> Spread:
    """A number less that of the baseline, on the same noise."""
    pairs = zip(one.numbers(number), baseline.numbers(number), strict=True)
    return spread([ours - theirs for ours, theirs in pairs])


def row_of(one: Scored[Point], baseline: Scored[Point]) -> dict[str, Any]:
    """A point in plain values, with its numbers and how they differ from the unguided network's."""
    own = {
        "after": list(one.point.after),
        "interval": None if one.point.interval is None else list(one.point.interval),
        "guidance": [dict(part) for part in one.point.guidance],
        "nfe": one.nfe,
    }
    return row_with(own, one, baseline)


def row_with(own: Mapping[str, Any], one: Scored[Kind], baseline: Scored[Kind]) -> dict[str, Any]:
    """What every point says of itself, what is its own kind's, and its differences to the baseline."""
    names = list(one.passports[0].numbers)
    return {
        "name": one.point.name,
        "curve": one.point.curve,
        "axis": one.point.axis,
        "at": one.point.at,
        **own,
        "numbers": {name: attrs.asdict(spread(one.numbers(name))) for name in names},
        "difference": {name: attrs.asdict(difference_of(one, baseline, name)) for name in names},
        "passports": list(one.files),
    }


def verdict(best: Mapping[str, Any], number: str, seeds: int) -> str:
    """What is best, and whether it is known to differ from no guidance.

    Args:
        best: the best point's row.
        number: that it is best in.
        seeds: how many it has.
    """
    mean = Spread(**best["numbers"][number])
    if best["name"] == UNGUIDED:
        return f"No guidance is best in {number} ({mean}): nothing that was tried improves on it."
    difference = Spread(**best["difference"][number])
    name = f"{best['name'][0].upper()}{best['name'][1:]}"
    said = f"{name} is best in {number} ({mean}); its difference to unguided is {difference}"
    if difference.half_width is None:
        return f"{said}. One seed says nothing of the spread: state --seeds 3 or more before relying on it."
    if difference.half_width <= _ROUNDING * abs(mean.mean):
        return f"{said} under each of {seeds} seeds, so nothing is known of its spread."
    if abs(difference.mean) > difference.half_width:
        return f"{said}, and over {seeds} seeds its 95 % interval excludes zero."
    return f"{said}, and over {seeds} seeds its 95 % interval includes zero, so it is not known to help."
