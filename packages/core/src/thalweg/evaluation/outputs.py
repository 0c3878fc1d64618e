"""What an evaluation may write over: its own former results, and nothing else."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from thalweg.errors import ConfigError
from thalweg.evaluation.passport import is_passport
from thalweg.evaluation.reference import is_reference
from thalweg.evaluation.ways import Way
from thalweg.storage.places import check_folder, is_url, plain_place


def passport_files(out: Path | None, ways: Sequence[Way]) -> list[Path]:
    """Where the passport of each way is to go; nothing without ``out``.

    Args:
        out: the file of the only one, or the folder of several.
        ways: all of them.

    Raises:
        ConfigError: the folder is called like a file.
    """
    if out is None:
        return []
    if len(ways) == 1:
        return [out]
    check_folder(out, "out")
    return [out / way.file for way in ways]


def check_outputs(passports: Sequence[Path], save_reference: Path | None, inputs: Sequence[Any]) -> None:
    """Refuse to write over anything but passports, or statistics of a reference, before any work.

    Args:
        passports: where they are to go.
        save_reference: where statistics are to go.
        inputs: what is read; those that are paths are compared.

    Raises:
        ConfigError: naming the file.
    """
    for out in passports:
        if save_reference is not None and _same(out, save_reference):
            raise ConfigError(
                f"the passport and the statistics would both be written to {out}; name two files"
            )
    read = [Path(plain_place(one)) for one in inputs if isinstance(one, str | Path) and not is_url(one)]
    for path, what in (*((out, "the passport") for out in passports), (save_reference, "the statistics")):
        if path is not None and any(_same(path, one) for one in read):
            raise ConfigError(f"{path} is read, and {what} would be written over it; choose another name")
    for out in passports:
        if os.path.lexists(out) and not (out.is_file() and is_passport(out)):
            raise ConfigError(f"{out} exists and is no passport; choose another name, or move it")
    if save_reference is not None and os.path.lexists(save_reference) and not is_reference(save_reference):
        raise ConfigError(
            f"{save_reference} exists and holds no statistics of a reference; choose another name, or move it"
        )


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return one.absolute() == other.absolute()
