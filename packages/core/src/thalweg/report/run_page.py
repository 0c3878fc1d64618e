"""The report of any runs: scores, curves over steps and seconds, grids over training, what was set."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from thalweg.config import flat
from thalweg.evaluation.passport import Passport
from thalweg.report.comparable import LOSS, VELOCITY, comparable
from thalweg.report.facts import facts, machine
from thalweg.report.judged import Judgement
from thalweg.report.model import Best, Cell, Chart, Curve, Part, Picture, Report, Section, Table, Text
from thalweg.report.numbers import readable
from thalweg.report.reach_table import reach_table
from thalweg.report.reaching import Scores
from thalweg.report.runs import AxisName, Run
from thalweg.training.clock import TRAINING, times_in_words

_GRIDS = 4
_APART = "Apart from other runs, whose numbers are not of the same kind."
_SMOOTHED_FROM = 100
_LONGEST, _MOST_DAMAGES = 500, 20
_AXES: Mapping[AxisName, tuple[str, str]] = {
    "step": ("step", "steps"),
    "seconds": ("training seconds", "seconds"),
}


def run_page(runs: Sequence[Run], judged: Mapping[str, Sequence[Judgement]]) -> Report:
    """The report.

    Args:
        runs: at least one, each of a name of its own.
        judged: evaluations by name of a run, by step.
    """
    pictures = _pictures(runs)
    sections = [
        *_scores(runs, judged),
        Section("Runs", (_overview(runs), *_times(runs))),
        *_left_out(runs),
        Section("Training", tuple(_curves(runs))),
        *_validation(runs),
        *pictures,
        *_passports(runs, judged),
        Section("Configuration", (_settings(runs),)),
    ]
    names = ", ".join(run.name for run in runs)
    return Report(
        title=runs[0].name if len(runs) == 1 else f"{len(runs)} runs",
        subtitle=f"Training of {names}.",
        sections=tuple(section for section in sections if section.parts),
        facts=_facts([one.passport for all_ in judged.values() for one in all_]),
    )


def _facts(passports: Sequence[Passport]) -> tuple[tuple[str, str], ...]:
    """Of the scores; versions only where all were made with the same."""
    made = sorted(str(passport.made) for passport in passports)
    machines = {machine(one.machine) for one in passports if isinstance(one.machine, Mapping)}
    software = passports[0].software if passports else {}
    same = all(passport.software == software for passport in passports)
    return facts([*made[:1], *made[-1:]], sorted(filter(None, machines)), software if same else {})


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


def _times(runs: Sequence[Run]) -> list[Part]:
    """What the time of each run went to."""
    paragraphs = []
    for run in runs:
        seconds = run.newest.get("seconds")
        if isinstance(seconds, int | float):
            paragraphs.append(f"{run.name}: {times_in_words({TRAINING: float(seconds), **run.beside})}.")
    return [Text("", tuple(paragraphs))] if paragraphs else []


def damages(runs: Sequence[Run]) -> list[str]:
    """What is left out of the report, each in a sentence; only so many that they can be read."""
    every = [damage for run in runs for damage in run.damages]
    more = len(every) - _MOST_DAMAGES
    return [*every[:_MOST_DAMAGES], f"and {more:,} more"] if more > 0 else every


def _left_out(runs: Sequence[Run]) -> list[Section]:
    found = damages(runs)
    return [Section("Left out", (Text("", tuple(found)),))] if found else []


def _curves(runs: Sequence[Run]) -> list[Part]:
    """The velocity errors first, which more runs can be compared by; what stands alone over steps only."""
    parts: list[Part] = []
    for number, keys in (("velocity", VELOCITY), ("loss", LOSS), ("grad_norm", LOSS)):
        groups = comparable(runs, keys)
        for axis, (label, _) in _AXES.items():
            if axis == "seconds" and (len(groups) > 1 or number == "grad_norm"):
                continue
            for names, like in groups:
                title = "velocity error of the last branch" if number == "velocity" else number
                found = [run.curve(axis, run.velocity() if number == "velocity" else number) for run in like]
                parts += _chart(label, title, found, names)
    return parts


def _chart(label: str, number: str, found: Sequence[Curve | None], names: str = "") -> list[Chart]:
    curves = tuple(curve for curve in found if curve is not None)
    if not curves:
        return []
    longest = max(len(curve.steps) for curve in curves)
    return [
        Chart(
            f"{number} over {label}{f', {names}' if names else ''}",
            label,
            number,
            curves,
            _APART if names else "",
            log_y=all(_positive(curve) for curve in curves),
            smooth=max(1, longest // 40) if longest >= _SMOOTHED_FROM else 1,
        )
    ]


def _positive(curve: Curve) -> bool:
    values = np.asarray(curve.values, np.float64)
    return bool((values[np.isfinite(values)] > 0).all())


def _validation(runs: Sequence[Run]) -> list[Section]:
    parts: list[Part] = []
    number = "validation error of the last branch's velocity"
    for names, like in comparable(runs, VELOCITY):
        tables: list[Part] = []
        for axis, (label, unit) in _AXES.items():
            scores = [run.over(axis, run.velocity("validation/")) for run in like]
            scores = [one for one in scores if one.at]
            curves = [Curve(one.name, one.at, one.values) for one in scores]
            parts += _chart(label, number, curves, names)
            tables += reach_table(scores, number, unit, higher=False)
        parts += tables
    return [Section("Validation", tuple(parts))] if parts else []


def _scores(runs: Sequence[Run], judged: Mapping[str, Sequence[Judgement]]) -> list[Section]:
    every = [one for all_ in judged.values() for one in all_]
    numbers = list(dict.fromkeys(name for one in every for name in one.numbers))
    if not numbers:
        return []
    higher = frozenset(name for one in every for name in one.higher)
    # Numbers made under different conditions are shown and not ranked.
    alike = all(one.conditions == every[0].conditions for one in every)
    parts: list[Part] = [_newest(runs, judged, numbers, higher, alike)]
    for number in numbers:
        tables: list[Part] = []
        for axis, (label, unit) in _AXES.items():
            scores = [_over(run.name, judged[run.name], axis, number) for run in runs]
            scores = [one for one in scores if one.at]
            if alike and any(len(one.at) > 1 for one in scores):
                curves = tuple(Curve(one.name, one.at, one.values) for one in scores)
                parts.append(Chart(f"{number} over {label}", label, number, curves, ""))
                tables += reach_table(scores, number, unit, higher=number in higher)
        parts += tables
    return [Section("Scores", tuple(parts))]


def _newest(
    runs: Sequence[Run],
    judged: Mapping[str, Sequence[Judgement]],
    numbers: Sequence[str],
    higher: frozenset[str],
    alike: bool,
) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for run in runs:
        newest: dict[str, float] = {}
        for one in judged[run.name]:
            newest |= one.numbers
        step = judged[run.name][-1].step if judged[run.name] else None
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


def _over(name: str, found: Sequence[Judgement], axis: str, number: str) -> Scores:
    pairs = [
        (float(at), one.numbers[number])
        for one in found
        if number in one.numbers and (at := one.step if axis == "step" else one.seconds) is not None
    ]
    return Scores(name, tuple(at for at, _ in pairs), tuple(value for _, value in pairs))


def _pictures(runs: Sequence[Run]) -> list[Section]:
    parts: list[Part] = []
    for run in runs:
        steps = sorted(run.pictures)
        last = len(steps) - 1
        chosen = [steps[round(place * last / max(1, _GRIDS - 1))] for place in range(min(_GRIDS, len(steps)))]
        if len(steps) < _GRIDS:
            chosen = steps
        parts += [
            Picture(
                f"{run.name}, step {readable(step)}", png, "Averaged weights; the same noise at every step."
            )
            for step in dict.fromkeys(chosen)
            if (png := run.picture(step)) is not None
        ]
    return [Section("Samples over training", tuple(parts))] if parts else []


def _passports(runs: Sequence[Run], judged: Mapping[str, Sequence[Judgement]]) -> list[Section]:
    parts: list[Part] = []
    for run in runs:
        for one in judged[run.name]:
            plain = {**flat(one.passport.conditions), **flat({"software": one.passport.software})}
            rows: tuple[tuple[Cell, ...], ...] = tuple((key, _written(value)) for key, value in plain.items())
            parts.append(
                Table(f"Scores of {run.name}, step {one.step:,}", ("field", "value"), rows, one.passport.made)
            )
    return [Section("How the scores were made", tuple(parts))] if parts else []


def _settings(runs: Sequence[Run]) -> Part:
    configs = [flat(run.config) for run in runs]
    keys = sorted(set().union(*configs))
    if len(runs) > 1:
        keys = [key for key in keys if len({repr(config.get(key)) for config in configs}) > 1]
        if not keys:
            return Text("", ("The runs have one configuration.",))
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (key, *(_written(config.get(key)) for config in configs)) for key in keys
    )
    caption = "Keys in which the runs differ." if len(runs) > 1 else "The resolved configuration."
    return Table("", ("key", *(run.name for run in runs)), rows, caption)


def _written(value: Any) -> str:
    text = "–" if value is None else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _number(value: Any) -> Cell:
    """A number as it is; whatever else stands there as text."""
    if value is None or isinstance(value, float):
        return value
    # An integer of more digits than any count has is a stranger's.
    return value if isinstance(value, int) and abs(value) < 10**15 else _written(value)
