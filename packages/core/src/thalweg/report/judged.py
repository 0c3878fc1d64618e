"""Evaluations of runs, as a report shows them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from thalweg.errors import DataError
from thalweg.evaluation.passport import Passport, is_passport, read_passport
from thalweg.report.runs import Run


@attrs.frozen(eq=False)
class Judgement:
    """One evaluation of a run.

    Attributes:
        step: how far the run was.
        seconds: of training until there; None where no line of the run tells.
        numbers: by name.
        higher: names of those of which more is better.
        conditions: that numbers must share to be ranked.
        passport: all of it.
    """

    step: int
    seconds: float | None
    numbers: Mapping[str, float]
    higher: frozenset[str]
    conditions: Mapping[str, Any]
    passport: Passport


def judgements(runs: Sequence[Run], passports: Sequence[Path] = ()) -> dict[str, list[Judgement]]:
    """By name of a run, the passports in its folder and those given, by step.

    Raises:
        DataError: if a passport given is none, or is of no network of these runs.
    """
    found: dict[str, list[Judgement]] = {run.name: [] for run in runs}
    for run in runs:
        for path in sorted(run.path.rglob("*.json")):
            if path not in passports and is_passport(path):
                found[run.name].append(_of(run, read_passport(path)))
    for path in passports:
        passport = read_passport(path)
        owner = next((run for run in runs if _is_of(passport, run)), None)
        if owner is None:
            raise DataError(
                f"{path} judges {passport.subject.get('what')}, which is no network of these runs; "
                f"name its run as well"
            )
        found[owner.name].append(_of(owner, passport))
    return {name: sorted(all_, key=lambda one: one.step) for name, all_ in found.items()}


def _is_of(passport: Passport, run: Run) -> bool:
    return Path(str(passport.subject.get("what"))).resolve().is_relative_to(run.path.resolve())


def _of(run: Run, passport: Passport) -> Judgement:
    step = int(passport.subject.get("step") or run.newest.get("step", 0))
    told = run.over("step", "seconds")
    seconds = [second for at, second in zip(told.at, told.values, strict=True) if at <= step]
    return Judgement(
        step=step,
        seconds=seconds[-1] if seconds else None,
        numbers=passport.values,
        higher=frozenset(name for name, one in passport.numbers.items() if one.get("better") == "higher"),
        conditions=passport.conditions,
        passport=passport,
    )
