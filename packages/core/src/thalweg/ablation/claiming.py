"""The folder of an ablation, bound to what is judged and how."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from thalweg import files
from thalweg.ablation.config import Ablation
from thalweg.ablation.planning import Planned
from thalweg.config import dump
from thalweg.documents import read_document, write_document
from thalweg.errors import ConfigError, DataError
from thalweg.evaluation.protocol import read_protocol
from thalweg.files import unwritable
from thalweg.folders import clear_leftovers, make_folders
from thalweg.plugins.recording import FILES_KEY, digests_of
from thalweg.storage.holders import is_holder
from thalweg.storage.locks import cure, locked
from thalweg.storage.redaction import redacted_plain

PLAN = "ablation.json"
_LOCK = ".lock"


def claim(ablation: Ablation, out: Path, runs: Sequence[Planned]) -> None:
    """Bind the folder; cells and seeds may be added later, and plugin files with them.

    What is compared is masked: other credentials for the same data make no other ablation.

    Args:
        ablation: what is compared.
        out: the folder.
        runs: all of its runs, whose plugin files must stay as they are.

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
            "judge": dump(ablation.judge),
            "cells": [{"name": cell.name, "overrides": cell.overrides} for cell in ablation.cells],
        }
    )
    path, used = out / PLAN, _files(ablation, runs)
    try:
        there = read_document(path, "an ablation's plan", "choose another --out", sealed=True)
    except FileNotFoundError:
        _refuse_strangers(out)
    except NotADirectoryError:
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
    try:
        clear_leftovers(path)
    except OSError as error:
        raise unwritable(path, error) from error
    write_document(path, {**plan, **({FILES_KEY: used} if used else {})}, sealed=True)


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Make an ablation's folder and hold its lock.

    Raises:
        ConfigError: if another process has it.
    """
    try:
        make_folders(out)
        lock = locked(out / _LOCK, wait=False, create=True)
    except NotADirectoryError:
        raise ConfigError(f"{out} is a file; choose another --out") from None
    except OSError as error:
        raise unwritable(out, error) from error
    if lock is None:
        raise ConfigError(
            f"another process works on the ablation in {out}; wait for it or end it{cure(out / _LOCK)}"
        )
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            files.disk.remove(out / _LOCK)  # others see to it that what they lock still has its name
        lock.release()


def _differing(there: dict[str, Any], plan: dict[str, Any], path: Path) -> str:
    for key in ("recipe", "overrides", "equal", "judge"):
        if there.get(key) != plan[key]:
            return key
    try:
        names = [cell["name"] for cell in there["cells"]]
    except (KeyError, TypeError) as error:
        raise DataError(f"{path} is no ablation's plan; choose another --out") from error
    if [cell["name"] for cell in plan["cells"]][: len(names)] != names:
        return "its cells or their order"
    for old, new in zip(there["cells"], plan["cells"], strict=False):
        if old != new:
            return str(new["name"])
    return ""


def _files(ablation: Ablation, runs: Sequence[Planned]) -> dict[str, str]:
    """SHA-256s of the plugin files that networks and judges are made by."""
    judge = ablation.judge
    changes = dict.fromkeys(run.settings for run in runs)
    protocols = [read_protocol(judge.protocol, [*judge.settings, *change]).config for change in changes]
    return digests_of(*(run.config for run in runs), *protocols)


def _edited(before: Any, now: Mapping[str, str]) -> str:
    """The first file that cells were trained or judged with, and that is another now."""
    old = before if isinstance(before, Mapping) else {}
    name = next((name for name in now if old.get(name, now[name]) != now[name]), None)
    return "" if name is None else f"the plugin file {name}, whose SHA-256 was {old[name]} and is {now[name]}"


def _refuse_strangers(out: Path) -> None:
    try:
        found = out.iterdir() if out.exists() else iter(())
        strangers = any(path.name != _LOCK and not is_holder(path, out / _LOCK) for path in found)
    except OSError as error:
        raise ConfigError(f"{out} cannot be read ({error.strerror}); choose another --out") from error
    if strangers:
        raise ConfigError(f"{out} is not empty and holds no ablation; choose another --out")
