"""The folder of an ablation, bound to what is compared and how it is scored."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from thalweg import files
from thalweg.config import dump
from thalweg.documents import read_document, write_document
from thalweg.errors import ConfigError, DataError
from thalweg.files import unwritable
from thalweg.folders import clear_leftovers, make_folders
from thalweg.plugins.recording import FILES_KEY, digests_of
from thalweg.storage.holders import is_holder
from thalweg.storage.locks import cure, locked
from thalweg.storage.redaction import redacted_plain
from thalweg_eval.ablation.config import Ablation
from thalweg_eval.ablation.pace import PacedCell, paced_cell
from thalweg_eval.ablation.planning import Planned
from thalweg_eval.evaluation.protocol import read_protocol

PLAN = "ablation.json"
PACED = "paced"
"""In the plan: what was measured of each cell where all get the same seconds."""

_LOCK = ".lock"


def claim(ablation: Ablation, out: Path, runs: Sequence[Planned]) -> list[PacedCell]:
    """Bind the folder; cells and seeds may be added later, and plugin files with them.

    What is compared is masked: other credentials for the same data make no other ablation. What cells are
    compared with, and which are controls, may change: no run depends on it.

    Args:
        ablation: what is compared.
        out: the folder.
        runs: all of its runs, seed by seed; what their recipe says and their plugin files must stay as
            they are.

    Returns:
        what was measured of its cells so far.

    Raises:
        ConfigError: if the folder holds another ablation, or something else.
        DataError: if its plan is damaged.
        ThalwegError: if it cannot be written.
    """
    # Lists, as two cells may have one name once it is masked.
    plan: dict[str, Any] = redacted_plain(
        {
            "recipe": ablation.recipe.name,
            "overrides": ablation.overrides,
            "equal": ablation.equal,
            "evaluation": dump(ablation.evaluation),
            "cells": [
                {"name": cell.name, "overrides": cell.overrides, "run": _said(one)}
                for cell, one in zip(ablation.cells, runs, strict=False)
            ],
        }
    )
    path, used = out / PLAN, _files(ablation, runs)
    paced: list[PacedCell] = []
    try:
        there = read_document(path, "an ablation's plan", "choose another --out", sealed=True)
    except FileNotFoundError:
        refuse_strangers(out)
    except (NotADirectoryError, FileExistsError):
        raise ConfigError(f"{out} is a file; choose another --out") from None
    else:
        differing = _differing(there, plan, path) or _edited(there.get(FILES_KEY), used)
        if differing:
            raise ConfigError(
                f"{out} holds another ablation, it differs in {differing}; "
                f"choose another --out, or what it had"
            )
        before = there.get(FILES_KEY)
        used = {**(before if isinstance(before, dict) else {}), **used}
        paced = [paced_cell(one) for one in there.get(PACED, [])]
    try:
        clear_leftovers(path)
    except OSError as error:
        raise unwritable(path, error) from error
    write_document(path, {**plan, **({FILES_KEY: used} if used else {}), **_plain(paced)}, sealed=True)
    return paced


def keep_paced(out: Path, paced: Sequence[PacedCell]) -> None:
    """Write into the plan what was measured, so that the ablation is resumed with the same steps.

    Raises:
        DataError: if the plan is damaged.
        ThalwegError: if it cannot be written.
    """
    path = out / PLAN
    plan = read_document(path, "an ablation's plan", "choose another --out", sealed=True)
    write_document(path, {**plan, **_plain(paced)}, sealed=True)


def _plain(paced: Sequence[PacedCell]) -> dict[str, Any]:
    return {PACED: [one.plain() for one in paced]} if paced else {}


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Make a folder of an ablation, a bench or a tuning, and hold its lock.

    Raises:
        ConfigError: if another process has it, or it is a file.
    """
    try:
        make_folders(out)
        lock = locked(out / _LOCK, wait=False, create=True)
    except (NotADirectoryError, FileExistsError):
        raise ConfigError(f"{out} is a file; choose another --out") from None
    except OSError as error:
        raise unwritable(out, error) from error
    if lock is None:
        raise ConfigError(f"another process works in {out}; wait for it or end it{cure(out / _LOCK)}")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            files.disk.remove(out / _LOCK)  # others see to it that what they lock still has its name
        lock.release()


def _differing(there: dict[str, Any], plan: dict[str, Any], path: Path) -> str:
    for key in ("recipe", "overrides", "equal", "evaluation"):
        if there.get(key) != plan[key]:
            return key
    try:
        names = [cell["name"] for cell in there["cells"]]
    except (KeyError, TypeError) as error:
        raise DataError(f"{path} is no ablation's plan; choose another --out") from error
    if [cell["name"] for cell in plan["cells"]][: len(names)] != names:
        return "its cells or their order"
    for old, new in zip(there["cells"], plan["cells"], strict=False):
        if {**old, "run": None} != {**new, "run": None}:
            return str(new["name"])
        if old.get("run") != new["run"]:
            key, was, now = _first_change(old.get("run"), new["run"])
            return f"{key} of the cell {new['name']}, which was {was} and is {now}"
    return ""


def _said(one: Planned) -> dict[str, Any]:
    """All that a cell is trained and scored with, apart from seed and name."""
    said = {"settings": list(one.settings), **dump(attrs.evolve(one.config, seed=0, name="run"))}
    # As it is read again: a table with tuples would differ from itself.
    return dict(json.loads(json.dumps(said, default=str)))


def _first_change(old: Any, new: Any, key: str = "") -> tuple[str, str, str]:
    """The first key by which two tables differ, and what it was and is."""
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        was, now = ("nothing" if one is None else json.dumps(one) for one in (old, new))
        return key, was, now
    name = next(name for name in {**old, **new} if old.get(name) != new.get(name))
    return _first_change(old.get(name), new.get(name), f"{key}.{name}" if key else name)


def _files(ablation: Ablation, runs: Sequence[Planned]) -> dict[str, str]:
    """SHA-256s of the plugin files that networks and their scores are made by."""
    scoring = ablation.evaluation
    changes = dict.fromkeys(run.settings for run in runs)
    protocols = [read_protocol(scoring.protocol, [*scoring.settings, *change]).config for change in changes]
    return digests_of(*(run.config for run in runs), *protocols)


def _edited(before: Any, now: Mapping[str, str]) -> str:
    """The first file that cells were trained or scored with, and that has changed since."""
    old = before if isinstance(before, Mapping) else {}
    name = next((name for name in now if old.get(name, now[name]) != now[name]), None)
    return "" if name is None else f"the plugin file {name}, whose SHA-256 was {old[name]} and is {now[name]}"


def refuse_strangers(out: Path, what: str = "ablation") -> None:
    """A folder that is not empty and holds none of what is to be written.

    Raises:
        ConfigError: it is one.
    """
    try:
        found = out.iterdir() if out.exists() else iter(())
        foreign = any(path.name != _LOCK and not is_holder(path, out / _LOCK) for path in found)
    except OSError as error:
        raise ConfigError(f"{out} cannot be read ({error.strerror}); choose another --out") from error
    if foreign:
        raise ConfigError(f"{out} is not empty and holds no {what}; choose another --out")
