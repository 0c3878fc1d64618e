"""Which average of a run's weights a saved network or checkpoint holds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from thalweg.errors import DataError
from thalweg.fetching import DESCRIPTION
from thalweg.training import checkpoint

AVERAGED = "ema"
"""The group of a checkpoint that holds the main average."""


def beside(model: Path, average: str) -> Path | None:
    """The saved network of another average of the same run; None if there is none."""
    found = model.parent / f"{model.name}-{Path(average).name}"
    return found if (found / DESCRIPTION).is_file() else None


def group_named(average: str, names: Sequence[str]) -> str:
    """What the group of an average is called: ``ema`` that of the main one, ``ema-NAME`` that of another.

    Args:
        average: its name.
        names: of all, the main one first.
    """
    return AVERAGED if average == names[0] else f"{AVERAGED}-{average}"


def group_of(saved: Path, average: str | None) -> str:
    """The group of a checkpoint that holds an average."""
    if average is None:
        return AVERAGED
    names = checkpoint.read_document(saved, "state").get("averages", [])
    if average not in names:
        raise _no_average(saved, average, names)
    return group_named(average, names)


def check_average(folder: Path, description: Mapping[str, Any], average: str | None) -> None:
    """Make sure that a saved network is of an average, if one is asked for.

    Raises:
        DataError: it is of another, or nobody knows.
    """
    run = description.get("run")
    own = run.get("average") if isinstance(run, dict) else None
    if average is not None and own != average:
        raise _no_average(folder, average, [] if own is None else [own])


def _no_average(where: Path, average: str, names: Sequence[str]) -> DataError:
    known = f"it is {' and '.join(names)}" if len(names) == 1 else f"there are {', '.join(names)}"
    return DataError(
        f"{where} has no average {average!r} ({known if names else 'nobody wrote down which it has'}); "
        "name one that the run keeps, or leave it out"
    )
