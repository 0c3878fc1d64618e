"""Folders in the middle of things: killed at a chosen moment, with what is kept to be counted later."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from torture.common import forked, remove
from torture.watch import Watch
from torture.workshop import CASES, Case, expect


def _parts(place: Path) -> bool:
    return len(list(place.glob("work/**/*.part.safetensors"))) >= 2


def _blocks(place: Path) -> bool:
    return len(list(place.glob("*unfinished*/*.safetensors"))) >= 2


def _sidecars(place: Path) -> bool:
    return len(list(place.glob("out/shard-*.json"))) >= 3


def _checkpoints(place: Path) -> bool:
    return len(list(place.glob("out/checkpoints/step-*/manifest.json"))) >= 2


def _scored(place: Path) -> bool:
    return len(list(place.glob("out/cells/*/*step*.json"))) >= 3


STAGES: dict[str, tuple[str, Callable[[Path], bool] | None]] = {
    "sampling": ("sample-npz", _blocks),
    "evaluating": ("evaluate", _parts),
    "referenced": ("evaluate", None),
    "encoding": ("encode", _sidecars),
    "training": ("train-often", _checkpoints),
    "trained": ("train", None),
    "ablating": ("ablate", _scored),
    "ablated": ("ablate", None),
}
"""By name: the command, and when it is killed; None lets it end."""


def make(template: Path, folder: Path, name: str) -> tuple[Path, Case]:
    """A stage's folder, and the command that resumes from it.

    Raises:
        RuntimeError: if the moment never comes.
    """
    case, reached = CASES[STAGES[name][0]], STAGES[name][1]
    place = folder / name
    remove(place)
    shutil.copytree(template, place, symlinks=True)
    if reached is None:
        expect(forked(case.task, place, 120), case.arguments)
        for out in ("p.json", "r.safetensors"):
            (place / out).unlink(missing_ok=True)
        return place, case

    def task() -> int:
        def before(*_: object) -> None:
            if reached(place):
                os.kill(os.getpid(), signal.SIGKILL)

        if name == "evaluating":
            _save_often()
        Watch(place, before)
        return case.task()

    found = forked(task, place, 120)
    if found.code != -signal.SIGKILL:
        raise RuntimeError(f"{name} was never reached: {found.code} {found.out} {found.err}")
    return place, case


def _save_often() -> None:
    """Let evaluations keep what they have seen after every batch, instead of once a minute."""
    from thalweg_eval.evaluation import evaluate as run

    real = run.evaluate

    def often(*arguments: object, **options: object) -> object:
        return real(*arguments, **{**options, "save_seconds": 0.0})  # type: ignore[arg-type]

    run.evaluate = often  # type: ignore[assignment]
