"""The report of any runs: scores, curves over steps and seconds, grids over training, configurations."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from thalweg.config import flat
from thalweg.passport import Passport
from thalweg_eval.report.model import Best, Cell, Chart, Curve, Page, Part, Picture, Table
from thalweg_eval.report.numbers import MISSING, readable
from thalweg_eval.report.runs import Run
from thalweg_eval.report.scores import RunScore
from thalweg_eval.report.sections import (
    AXES,
    AxisName,
    facts_of,
    machine_in_words,
    over_training,
    page_of,
    paragraphs,
    run_time,
)

VELOCITY = ("data", "interpolant", "plan")
"""On which the size of a velocity error depends, whatever the network: images, path, pairs, times. (The gap
between branches does not count: it is small.)"""

LOSS = (*VELOCITY, "plan.max_time_gap", "branches", "objectives")
"""On which the size of a loss depends beside: which terms it sums, and for how many branches."""

_GAP = ".max_time_gap"
_GRIDS = 4
_APART = "Apart from other runs, whose numbers are not of the same kind."
_SMOOTHED_FROM = 100
_LONGEST, _MOST_DAMAGES = 500, 20

Scored = Mapping[str, Sequence[RunScore]]
"""Evaluations by name of a run, by step."""


def run_page(runs: Sequence[Run], scored: Scored) -> Page:
    """The report.

    Args:
        runs: at least one, each of a name of its own.
        scored: their evaluations.
    """
    pictures = _pictures(runs)  # reading them may add to what is damaged
    names = ", ".join(run.name for run in runs)
    return page_of(
        runs[0].name if len(runs) == 1 else f"{len(runs)} runs",
        f"Training of {names}.",
        [
            ("Scores", _scores(runs, scored)),
            ("Runs", (_overview(runs), *paragraphs(*_times(runs)))),
            ("Left out", paragraphs(*damages(runs))),
            ("Training", _curves(runs)),
            ("Validation", _validation(runs)),
            ("Samples over training", pictures),
            ("How the scores were made", _passports(runs, scored)),
            ("Configuration", _settings(runs)),
        ],
        _facts([one.passport for every in scored.values() for one in every]),
    )


def comparable(runs: Sequence[Run], keys: Sequence[str]) -> list[tuple[str, list[Run]]]:
    """The runs in groups that agree in these keys of their configurations.

    Returns:
        for each group the names of its runs, empty where there is one group alone, and the runs.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        leaves = {
            name: value
            for name, value in flat(run.config).items()
            if name in keys
            or (not name.endswith(_GAP) and any(name == key or name.startswith(f"{key}.") for key in keys))
        }
        groups.setdefault(json.dumps(leaves, sort_keys=True, default=str), []).append(run)
    if len(groups) == 1:
        return [("", list(runs))]
    return [(", ".join(run.name for run in group), group) for group in groups.values()]


def damages(runs: Sequence[Run]) -> list[str]:
    """What is left out of the report, each in a sentence; only so many that they can be read."""
    every = [damage for run in runs for damage in run.damages]
    more = len(every) - _MOST_DAMAGES
    return [*every[:_MOST_DAMAGES], f"and {more:,} more"] if more > 0 else every


def _facts(passports: Sequence[Passport]) -> tuple[tuple[str, str], ...]:
    """Of the scores; versions only where all were made with the same."""
    made = sorted(str(passport.made) for passport in passports)
    machines = {machine_in_words(one.machine) for one in passports if isinstance(one.machine, Mapping)}
    software = passports[0].software if passports else {}
    same = all(passport.software == software for passport in passports)
    return facts_of([*made[:1], *made[-1:]], sorted(filter(None, machines)), software if same else {})


def _overview(runs: Sequence[Run]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for run in runs:
        training = run.config.get("training")
        training = training if isinstance(training, Mapping) else {}
        newest = run.newest
        rows.append(
            (
                run.name,
                _number(newest.get("step", 0)),
                _number(training.get("steps")),
                _number(newest.get("seconds")),
                _number(newest.get("images_per_second")),
                _number(training.get("batch_size")),
                _written(training.get("precision")),
                _written(run.config.get("seed")),
                str(run.path),
            )
        )
    header = ("", "steps", "of", "training s", "images a second", "batch", "precision", "seed", "folder")
    return Table("", header, tuple(rows), "As the folders had it when the report was made.")


def _times(runs: Sequence[Run]) -> list[str]:
    stated = [(run, run.newest.get("seconds")) for run in runs]
    return [
        f"{run_time(run.name, float(seconds), run.beside)}."
        for run, seconds in stated
        if isinstance(seconds, int | float)
    ]


def _curves(runs: Sequence[Run]) -> list[Part]:
    """The velocity errors first, which more runs can be compared by; what stands alone over steps only."""
    parts: list[Part] = []
    for number, keys in (("velocity", VELOCITY), ("loss", LOSS), ("grad_norm", LOSS)):
        title = "velocity error of the last branch" if number == "velocity" else number
        groups = comparable(runs, keys)
        for axis, (label, _) in AXES.items():
            if axis == "seconds" and (len(groups) > 1 or number == "grad_norm"):
                continue
            for names, like in groups:
                found = [run.over(axis, run.velocity() if number == "velocity" else number) for run in like]
                parts += _chart(title, names, label, [curve for curve in found if curve.steps])
    return parts


def _chart(title: str, names: str, label: str, curves: Sequence[Curve]) -> list[Chart]:
    """A chart of what is measured often; nothing if there are no curves."""
    if not curves:
        return []
    longest = max(len(curve.steps) for curve in curves)
    return [
        Chart(
            f"{title} over {label}{f', {names}' if names else ''}",
            label,
            title,
            tuple(curves),
            _APART if names else "",
            log_y=all(_is_positive(curve) for curve in curves),
            smooth=max(1, longest // 40) if longest >= _SMOOTHED_FROM else 1,
        )
    ]


def _is_positive(curve: Curve) -> bool:
    values = np.asarray(curve.values, np.float64)
    return bool((values[np.isfinite(values)] > 0).all())


def _validation(runs: Sequence[Run]) -> list[Part]:
    parts: list[Part] = []
    number = "validation error of the last branch's velocity"
    for names, like in comparable(runs, VELOCITY):

        def over(axis: AxisName, like: Sequence[Run] = like) -> list[Curve]:
            return [run.over(axis, run.velocity("validation/")) for run in like]

        parts += over_training(number, over, partial(_chart, number, names), higher=False)
    return parts


def _scores(runs: Sequence[Run], scored: Scored) -> list[Part]:
    every = [one for all_ in scored.values() for one in all_]
    numbers = list(dict.fromkeys(name for one in every for name in one.numbers))
    if not numbers:
        return []
    higher = frozenset(name for one in every for name in one.higher)
    # Numbers made under different conditions are shown and not ranked.
    alike = all(one.conditions == every[0].conditions for one in every)
    parts: list[Part] = [_newest(runs, scored, numbers, higher, alike)]
    for number in numbers:

        def over(axis: AxisName, number: str = number) -> list[Curve]:
            curves = [_over(run.name, scored[run.name], axis, number) for run in runs]
            return curves if alike and any(len(one.steps) > 1 for one in curves) else []

        parts += over_training(number, over, partial(score_chart, number, ""), higher=number in higher)
    return parts


def score_chart(number: str, caption: str, label: str, curves: Sequence[Curve]) -> list[Chart]:
    """A chart of what is measured a few times."""
    return [Chart(f"{number} over {label}", label, number, tuple(curves), caption)]


def _newest(
    runs: Sequence[Run], scored: Scored, numbers: Sequence[str], higher: frozenset[str], alike: bool
) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for run in runs:
        newest: dict[str, float] = {}
        for one in scored[run.name]:
            newest |= one.numbers
        step = scored[run.name][-1].step if scored[run.name] else None
        rows.append((run.name, *(newest.get(name) for name in numbers), step))
    best: tuple[Best, ...] = (None, *("max" if name in higher else "min" for name in numbers), None)
    return Table(
        "",
        ("", *numbers, "step"),
        tuple(rows),
        "The newest of each run; how they were made stands below."
        if alike
        else "Made under conditions that differ, so nothing is ranked; see below.",
        best=best if len(runs) > 1 and alike else (),
    )


def _over(name: str, found: Sequence[RunScore], axis: AxisName, number: str) -> Curve:
    pairs = [
        (at, one.numbers[number])
        for one in found
        if number in one.numbers and (at := one.step if axis == "step" else one.seconds) is not None
    ]
    return Curve(name, [at for at, _ in pairs], [value for _, value in pairs])


def _pictures(runs: Sequence[Run]) -> list[Part]:
    parts: list[Part] = []
    for run in runs:
        steps = sorted(run.pictures)
        if len(steps) > _GRIDS:
            last = len(steps) - 1
            steps = [steps[round(place * last / (_GRIDS - 1))] for place in range(_GRIDS)]
        parts += [
            Picture(f"{run.name}, step {readable(step)}", png, "EMA weights; the same noise at every step.")
            for step in dict.fromkeys(steps)
            if (png := run.picture(step)) is not None
        ]
    return parts


def _passports(runs: Sequence[Run], scored: Scored) -> list[Part]:
    parts: list[Part] = []
    for run in runs:
        for one in scored[run.name]:
            plain = {**flat(one.passport.conditions), **flat({"software": one.passport.software})}
            rows: tuple[tuple[Cell, ...], ...] = tuple((key, _written(value)) for key, value in plain.items())
            title = f"Scores of {run.name}, step {one.step:,}"
            parts.append(Table(title, ("field", "value"), rows, one.passport.made))
    return parts


def _settings(runs: Sequence[Run]) -> Sequence[Part]:
    configs = [flat(run.config) for run in runs]
    keys = sorted(set().union(*configs))
    if len(runs) > 1:
        keys = [key for key in keys if len({repr(config.get(key)) for config in configs}) > 1]
        if not keys:
            return paragraphs("The runs have one configuration.")
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (key, *(_written(config.get(key)) for config in configs)) for key in keys
    )
    caption = "Keys in which the runs differ." if len(runs) > 1 else "The resolved configuration."
    return [Table("", ("key", *(run.name for run in runs)), rows, caption)]


def _written(value: Any) -> str:
    text = MISSING if value is None else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _number(value: Any) -> Cell:
    """A number as it is; whatever else stands there as text."""
    if value is None or isinstance(value, float):
        return value
    # An integer of more digits than any count has was written by something else.
    return value if isinstance(value, int) and abs(value) < 10**15 else _written(value)
