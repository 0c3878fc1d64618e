"""An ablation from beginning to end, going on cell by cell where it was interrupted."""

import json
import shutil
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from thalweg.ablation.config import Ablation
from thalweg.ablation.page import markdown, page
from thalweg.ablation.planning import Planned, plan
from thalweg.ablation.results import Judged, Outcome, results
from thalweg.config import dump
from thalweg.errors import ConfigError, DataError, InterruptionError, ThalwegError
from thalweg.evaluation.passport import read_passport
from thalweg.evaluation.run import evaluate
from thalweg.evaluation.surroundings import software
from thalweg.files import write_bytes
from thalweg.report import write
from thalweg.report.runs import read_runs
from thalweg.training.loop import Trainer

RESULTS, MARKDOWN, REPORT, PLAN = "results.json", "table.md", "report.html", "ablation.json"


def run(ablation: Ablation, out: Path, say: Callable[[str], None], command: str = "") -> dict[str, Any]:
    """Train and judge every cell under every seed; called again, it goes on where it was.

    Args:
        ablation: what is compared.
        out: the folder: ``results.json``, ``table.md`` and ``report.html``, written anew after every run,
            and below ``cells`` a run directory each.
        say: shows one line of progress.
        command: how it was called, for the report.

    Returns:
        What ``results.json`` holds.

    Raises:
        InterruptionError: Ctrl-C during training.
        ConfigError: the folder holds another ablation, or a cell does not resolve.
        DataError: data are missing or damaged.
    """
    runs = plan(ablation, out)
    _claim(ablation, out)
    outcomes: list[Outcome] = []
    better: dict[str, str | None] = {}
    for number, planned in enumerate(runs, start=1):
        outcome = _done(planned, out)
        if outcome is None:
            say(f"[{number}/{len(runs)}] {planned.config.name}")
            outcome = _run(planned, ablation, out)
        outcomes.append(outcome)
        better |= _directions(out / outcome.judged[-1].passport)
        found = results(ablation, runs, outcomes, better=better, command=command, software=software())
        _write(found, out, outcomes)
    return found


def _claim(ablation: Ablation, out: Path) -> None:
    """Bind the folder to what is judged and how; cells and seeds may be added later."""
    fixed: dict[str, Any] = {
        "recipe": ablation.recipe.name,
        "overrides": list(ablation.overrides),
        "equal": ablation.equal,
        "judge": dump(ablation.judge),
    }
    cells = {cell.name: list(cell.overrides) for cell in ablation.cells}
    path = out / PLAN
    if path.is_file():
        try:
            there = json.loads(path.read_text())
            differing = [key for key, value in fixed.items() if there[key] != value]
            differing += [name for name, overrides in there["cells"].items() if cells.get(name) != overrides]
            differing += (
                ["order of cells"] if list(cells)[: len(there["cells"])] != list(there["cells"]) else []
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} cannot be read: {error}; choose another --out") from error
        if differing:
            raise ConfigError(
                f"{out} holds another ablation, it differs in {differing[0]}; "
                f"choose another --out, or what it had"
            )
    elif out.exists() and any(out.iterdir()):
        raise ConfigError(f"{out} is not empty and holds no ablation; choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ThalwegError(f"cannot make {out}: {error.strerror}; choose another --out") from error
    write_bytes(path, (json.dumps({**fixed, "cells": cells}, indent=2) + "\n").encode())


def _passport(planned: Planned, step: int) -> Path:
    return planned.folder.with_name(f"{planned.folder.name}-step-{step:08d}.json")


def _done(planned: Planned, out: Path) -> Outcome | None:
    """The outcome of a run that an earlier sitting finished."""
    if not all(_passport(planned, step).is_file() for step in planned.judged):
        return None
    return Outcome(planned, [_judged(planned, step, out) for step in planned.judged])


def _judged(planned: Planned, step: int, out: Path) -> Judged:
    path = _passport(planned, step)
    passport = read_passport(path)
    seconds = json.loads(_timing(planned).read_text())[str(step)]
    return Judged(step, seconds, passport.values, str(path.relative_to(out)))


def _timing(planned: Planned) -> Path:
    return planned.folder.with_name(f"{planned.folder.name}-seconds.json")


def _run(planned: Planned, ablation: Ablation, out: Path) -> Outcome:
    trainer = Trainer(planned.config, planned.folder, devices=1, quiet=True)
    trained = trainer.train()
    if trained.interrupted:
        raise InterruptionError(
            f"interrupted and saved at step {trained.step} of {planned.config.name}; "
            f"the same command goes on from there"
        )
    seconds = _seconds(planned, trained.seconds)
    write_bytes(_timing(planned), (json.dumps(seconds, indent=1) + "\n").encode())
    for step in planned.judged:
        if not _passport(planned, step).is_file():
            last = step == planned.judged[-1]
            subject = planned.folder if last else planned.folder / "checkpoints" / f"step-{step:08d}"
            evaluate(
                subject,
                protocol=ablation.judge.protocol,
                settings=ablation.judge.settings,
                out=_passport(planned, step),
            )
    # The averaged weights are what was judged; checkpoints are the bulk of what a run leaves.
    shutil.rmtree(planned.folder / "checkpoints")
    return Outcome(planned, [_judged(planned, step, out) for step in planned.judged])


def _seconds(planned: Planned, in_all: float) -> dict[str, float]:
    """Seconds of training until each judged step, between lines of metrics.jsonl in proportion."""
    (history,) = read_runs([planned.folder])
    told = history.over("step", "seconds")
    last = planned.judged[-1]
    found = {str(last): in_all}
    for step in planned.judged[:-1]:
        pairs = [(0.0, 0.0), *zip(told.at, told.values, strict=True), (float(last), in_all)]
        (start, before), (stop, after) = next(
            (one, other) for one, other in pairwise(pairs) if one[0] <= step <= other[0] and one[0] < other[0]
        )
        found[str(step)] = before + (after - before) * (step - start) / (stop - start)
    return found


def _directions(path: Path) -> dict[str, str | None]:
    """Which way each number is better."""
    return {name: number.get("better") for name, number in read_passport(path).numbers.items()}


def _write(found: dict[str, Any], out: Path, outcomes: Sequence[Outcome]) -> None:
    write_bytes(out / RESULTS, (json.dumps(found, indent=2, ensure_ascii=False) + "\n").encode())
    write_bytes(out / MARKDOWN, markdown(found).encode())
    pictures = [
        (outcome.planned.cell, newest[-1])
        for outcome in outcomes
        if outcome.planned.seed == 0
        and (newest := sorted((outcome.planned.folder / "samples").glob("*.png")))
    ]
    write(page(found, pictures), out / REPORT)
