"""The passports that belong to a network: those in its run, beside it, and those that are named."""

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from thalweg.errors import DataError
from thalweg.passport import Passport, is_passport, read_passport

FOLDER = "passports"
"""Where they are in a repository."""

_DEEPEST = 4  # folders below a run in which they are looked for


def passports_of(
    run: Path | None, checkpoint: str, named: Iterable[str | Path], say: Callable[[str], None]
) -> dict[str, Passport]:
    """By the name of its file.

    Args:
        run: the run's folder; None if there is none.
        checkpoint: SHA-256 of the network's tensors, as passports state it.
        named: those that the user names.
        say: is told which ones of the run are left out.

    Raises:
        DataError: one that is named is none, is damaged, or is of another network.
    """
    found: dict[str, Passport] = {}
    paths = [Path(one) for one in named]
    for path in paths:
        passport = read_passport(path)
        if not _is_of(passport, checkpoint):
            raise DataError(
                f"{path} is of another network than the one that is pushed, whose SHA-256 is {checkpoint}; "
                "evaluate that one"
            )
        _add(found, path, passport)
    taken = {path.resolve() for path in paths}
    for path in [] if run is None else _in_run(run):
        if path.resolve() in taken or path.is_symlink() or not path.is_file() or not is_passport(path):
            continue
        passport = read_passport(path)
        if _is_of(passport, checkpoint):
            _add(found, path, passport)
        else:
            say(f"{path} is of other weights than those that are pushed, and is left out")
    return dict(sorted(found.items()))


def _in_run(run: Path) -> Iterator[Path]:
    """JSON files of a run, and those that an ablation keeps beside it; links are not followed."""
    for folder, folders, names in os.walk(run):
        depth = len(Path(folder).relative_to(run).parts)
        folders[:] = sorted(folders) if depth < _DEEPEST else []
        yield from (Path(folder) / name for name in sorted(names) if name.endswith(".json"))
    yield from sorted(run.parent.glob(f"{glob.escape(run.name)}-*.json"))


def _is_of(passport: Passport, checkpoint: str) -> bool:
    # Of images, a note beside them says by which network they were generated.
    return checkpoint in _texts(passport.subject)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, str):
        yield value


def _add(found: dict[str, Passport], path: Path, passport: Passport) -> None:
    stem, number = path.stem, 2
    while f"{FOLDER}/{stem}.json" in found:
        stem, number = f"{path.stem}-{number}", number + 1
    found[f"{FOLDER}/{stem}.json"] = passport
