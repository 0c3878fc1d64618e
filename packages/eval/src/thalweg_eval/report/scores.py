"""Evaluations of runs, as a report shows them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from thalweg.errors import DataError, ThalwegError
from thalweg.passport import Passport, is_passport, read_passport
from thalweg.regular import check_regular, parse_json
from thalweg_eval.report.run_files import check_depth, files_inside, read_inside, shortened
from thalweg_eval.report.runs import Run

_LARGEST, _MOST_NUMBERS, _LARGEST_STEP = 16 * 2**20, 1000, 10**15


@attrs.frozen(eq=False)
class RunScore:
    """One evaluation of a run.

    Attributes:
        step: how far the run was.
        seconds: of training until there; None where no line of the run states them.
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


def read_scores(runs: Sequence[Run], passports: Sequence[Path] = ()) -> dict[str, list[RunScore]]:
    """By name of a run, the passports in its folder and those given, by step.

    What is damaged in a run's folder is named in the run's ``damages``; links are not followed.

    Raises:
        DataError: if a passport given is none, is damaged, or is of no network of these runs.
    """
    found: dict[str, list[RunScore]] = {run.name: [] for run in runs}
    given = {path.absolute() for path in passports}
    for run in runs:
        links: list[Path] = []
        for path in files_inside(run.path, ".json", links):
            if path.absolute() not in given and (score := _found(run, path)) is not None:
                found[run.name].append(score)
        run.damages.extend(f"{link} is a link, and is not followed" for link in links)
    for path in passports:
        _check_named(path)
        passport = read_passport(path)
        owner = next((run for run in runs if _is_of(passport, run)), None)
        if owner is None:
            what = passport.subject.get("what") if isinstance(passport.subject, Mapping) else None
            raise DataError(
                f"{path} evaluates {what}, which is no network of these runs; name its run as well"
            )
        try:
            found[owner.name].append(_of(owner, passport))
        except ValueError as error:
            raise DataError(f"{path} is damaged: {error}; evaluate again") from error
    return {name: sorted(all_, key=lambda one: one.step) for name, all_ in found.items()}


def _found(run: Run, path: Path) -> RunScore | None:
    """What a JSON file in a run's folder holds, if it is a passport."""
    try:
        parse_json(read_inside(run.path, path, _LARGEST))
        return _of(run, read_passport(path)) if is_passport(path) else None
    except OSError as error:
        run.damages.append(f"{path} is not looked at: {error.strerror or error}")
    except ThalwegError as error:
        run.damages.append(f"{error}; it is left out")
    except ValueError as error:
        run.damages.append(f"{path} is damaged ({error}), and left out")
    return None


def _check_named(path: Path) -> None:
    try:
        check_regular(path.stat(), path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise DataError(f"{path} is no passport: {error.strerror or error}") from error


def _is_of(passport: Passport, run: Run) -> bool:
    if not isinstance(passport.subject, Mapping):
        return False
    # A third-party path may hold what no path can.
    try:
        return Path(str(passport.subject.get("what"))).resolve().is_relative_to(run.path.resolve())
    except (OSError, ValueError, RuntimeError):
        return False


def _of(run: Run, passport: Passport) -> RunScore:
    for table in ("numbers", "conditions", "subject", "software"):
        if not isinstance(getattr(passport, table), Mapping):
            raise ValueError(f"its {table} are no table")
        check_depth(getattr(passport, table))
    passport = attrs.evolve(
        passport,
        **{table: shortened(getattr(passport, table)) for table in ("numbers", "conditions", "software")},
        made=str(passport.made)[:100],
    )
    if len(passport.numbers) > _MOST_NUMBERS:
        raise ValueError(f"it states more than {_MOST_NUMBERS:,} numbers")
    try:
        step = int(passport.subject.get("step") or run.newest.get("step") or 0)
        if abs(step) > _LARGEST_STEP:
            raise ValueError(f"it states a step beyond {_LARGEST_STEP:,}")
        higher = frozenset(name for name, one in passport.numbers.items() if one.get("better") == "higher")
        return RunScore(
            step=step,
            seconds=run.seconds_until(step),
            numbers=passport.values,
            higher=higher,
            conditions=passport.conditions,
            passport=passport,
        )
    except (TypeError, AttributeError, KeyError, OverflowError) as error:
        raise ValueError(f"it has something else than a number: {error}") from error
