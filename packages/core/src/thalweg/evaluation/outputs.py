"""What an evaluation may write over: its own former results, and nothing else."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from thalweg.errors import ConfigError
from thalweg.evaluation.passport import is_passport
from thalweg.evaluation.reference import is_reference


def check_outputs(out: Path | None, save_reference: Path | None, inputs: Iterable[Any]) -> None:
    """Refuse to write over anything but a passport, or statistics of a reference, before any work.

    Args:
        out: where a passport is to go.
        save_reference: where statistics are to go.
        inputs: what is read; those that are paths are compared.

    Raises:
        ConfigError: naming the file.
    """
    if out is not None and save_reference is not None and _same(out, save_reference):
        raise ConfigError(f"the passport and the statistics would both be written to {out}; name two files")
    read = [Path(one) for one in inputs if isinstance(one, str | Path) and "://" not in str(one)]
    for path, what in ((out, "the passport"), (save_reference, "the statistics")):
        if path is not None and any(_same(path, one) for one in read):
            raise ConfigError(f"{path} is read, and {what} would be written over it; choose another name")
    if out is not None and os.path.lexists(out) and not (out.is_file() and is_passport(out)):
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
