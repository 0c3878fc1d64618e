"""What pages of runs, ablations and the quick start share: curves over training, times to a target, facts."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from thalweg.training.progress import TRAINING, times_in_words
from thalweg_eval.report.model import Cell, Chart, Curve, Page, Paragraphs, Part, Section, Table
from thalweg_eval.report.numbers import readable

AxisName = Literal["step", "seconds"]

AXES: Mapping[AxisName, tuple[str, str]] = {
    "step": ("step", "steps"),
    "seconds": ("training seconds", "seconds"),
}
"""By name of an axis, its label and its unit."""

_LONGEST = 200


def page_of(
    title: str,
    subtitle: str,
    sections: Sequence[tuple[str, Iterable[Part]]],
    facts: Iterable[tuple[str, str]],
) -> Page:
    """A page of titled sections; those without any part are left out."""
    built = [Section(name, tuple(parts)) for name, parts in sections]
    return Page(title, subtitle, tuple(section for section in built if section.parts), tuple(facts))


def paragraphs(*texts: str, title: str = "") -> tuple[Paragraphs, ...]:
    """Running text; nothing if there is none."""
    return (Paragraphs(title, texts),) if texts else ()


def over_training(
    name: str,
    curves_over: Callable[[AxisName], Sequence[Curve]],
    chart: Callable[[str, Sequence[Curve]], Sequence[Chart]],
    *,
    higher: bool,
) -> list[Part]:
    """Charts of a score over steps and seconds, then tables of the time to reach the first run's best.

    Args:
        name: what the score is called.
        curves_over: the curves over an axis, one a run.
        chart: draws those that are not empty, given the axis' label.
        higher: whether more is better.
    """
    charts: list[Part] = []
    tables: list[Part] = []
    for axis, (label, unit) in AXES.items():
        curves = [one for one in curves_over(axis) if one.steps]
        charts += chart(label, curves) if curves else []
        tables += time_to_target(curves, name, unit, higher=higher)
    return [*charts, *tables]


def reached(curve: Curve, target: float, *, higher: bool = False) -> float | None:
    """Where a score is as good as the target for the first time, among the places where it was measured.

    Nothing is interpolated, so the answer is coarse by the distance between them, and never too good.

    Args:
        curve: the score over steps or seconds, ascending.
        target: what is to be reached.
        higher: whether more is better.
    """
    for at, value in zip(curve.steps, curve.values, strict=True):
        if math.isfinite(value) and (value >= target if higher else value <= target):
            return at
    return None


def best(curve: Curve, *, higher: bool = False) -> float | None:
    """The best score of a run; None if it has none that is finite."""
    finite = [value for value in curve.values if math.isfinite(value)]
    return None if not finite else (max(finite) if higher else min(finite))


def time_to_target(curves: Sequence[Curve], number: str, unit: str, *, higher: bool) -> list[Table]:
    """The steps or seconds until each run is as good as the first one at its best, a row a run.

    Args:
        curves: of names that differ; the others are compared with the first.
        number: what the score is called.
        unit: ``steps`` or ``seconds``.
        higher: whether more is better.

    Returns:
        the table; nothing for a single run, or if the first has no score.
    """
    target = best(curves[0], higher=higher) if len(curves) > 1 else None
    if target is None:
        return []
    first = curves[0].name
    first_at = reached(curves[0], target, higher=higher)
    rows: list[tuple[Cell, ...]] = []
    for curve in curves:
        at, its_best = reached(curve, target, higher=higher), best(curve, higher=higher)
        until = None if its_best is None else reached(curve, its_best, higher=higher)
        against = "" if curve.name == first else _against(at, first_at)
        rows.append((curve.name, "never" if at is None else _whole(at), against, its_best, _whole(until)))
    return [
        Table(
            f"{unit.capitalize()} until {number} is {readable(float(target))}, the best of {first}",
            ("", unit, f"against {first}", "own best", f"{unit} until that"),
            tuple(rows),
            "Coarse by the distance between two evaluations.",
            best=(None, "min", None, "max" if higher else "min", None),
        )
    ]


def facts_of(
    made: Sequence[str], machines: Sequence[str], software: Mapping[str, Any]
) -> tuple[tuple[str, str], ...]:
    """When, on what and with what something was made; what nobody wrote down is left out.

    Args:
        made: when, in ISO 8601: the first and the last time.
        machines: each in words.
        software: versions of Python, of packages and of plugins, as passports have them.

    Returns:
        labels and values for the end of a page.
    """
    tables = [software.get(name) for name in ("plugins", "packages")]
    versions = {"Python": software.get("python")}
    for table in tables:
        versions |= table if isinstance(table, Mapping) else {}
    found = {
        "Date": " to ".join(dict.fromkeys(map(_date, made))),
        "Machine" if len(machines) == 1 else "Machines": "; ".join(machines),
        "Versions": ", ".join(f"{name} {number}" for name, number in versions.items() if number),
    }
    return tuple((label, value) for label, value in found.items() if value)


def machine_in_words(stated: Mapping[str, Any]) -> str:
    """The machine of a passport; empty if it does not say."""
    threads = stated.get("threads")
    count = None if threads is None else f"{threads} thread{'' if threads == 1 else 's'}"
    words = [stated.get("platform"), stated.get("device"), count]
    return ", ".join(str(word)[:_LONGEST] for word in words if word)


def run_time(name: str, seconds: float, beside: Mapping[str, float]) -> str:
    """What the time of a run went to: training, and what was done beside it."""
    return f"{name}: {times_in_words({TRAINING: seconds, **beside})}"


def _whole(at: float | None) -> Cell:
    """Steps as whole numbers."""
    return int(at) if at is not None and at == int(at) else at


def _against(at: float | None, first_at: float | None) -> str:
    if not at or not first_at:
        return ""
    sooner, later = f"{first_at / at:.2f}", f"{at / first_at:.2f}"
    if "1.00" in (sooner, later):
        return "as soon"
    return f"{sooner} times sooner" if first_at > at else f"{later} times later"


def _date(written: str) -> str:
    """To the minute, or the day alone where no more is stated."""
    try:
        if len(written) <= len("2026-01-01"):
            return written
        return datetime.fromisoformat(written).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    except ValueError:
        return written
