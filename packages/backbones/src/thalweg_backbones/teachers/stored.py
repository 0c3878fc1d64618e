"""Whether stored features are what a teacher would see."""

from collections.abc import Mapping
from typing import Any

from thalweg.config import plain
from thalweg.errors import DataError
from thalweg.facts import StoredFeatures
from thalweg.files import sha256
from thalweg.storage import Location


def check_stored(
    name: str,
    stored: StoredFeatures,
    described: Mapping[str, Any],
    expected: str,
    weights: Location | None,
) -> None:
    """Compare what the data set says with what the config knows, without loading anything.

    Args:
        name: the teacher's.
        stored: what the data set says; an empty identity stands for data that are not there yet.
        described: what the config knows of the teacher.
        expected: how the SHA-256 of its weights must begin; empty takes any.
        weights: a file that the config names; compared if it lies on this machine.

    Raises:
        DataError: if they differ.
    """
    there = stored.identity
    if not there:
        return
    known = dict(plain(described))
    differing = [key for key, value in known.items() if there.get(key) != value]
    if differing:
        key = differing[0]
        raise _another(name, f"{key} = {there.get(key)!r} where the objective's teacher has {known[key]!r}")
    found = str(there.get("sha256", ""))
    local = None if weights is None else weights.local
    if not found.startswith(expected) or (local is not None and local.is_file() and sha256(local) != found):
        ours = expected or f"those of {weights}"
        raise _another(name, f"weights of the SHA-256 {found}, not {ours}")


def _another(name: str, how: str) -> DataError:
    return DataError(
        f"the data set stores features of {name} that another teacher has seen: {how}; encode the images "
        "anew by thalweg encode --teacher, or give the objective that teacher"
    )
