"""Places that are names: ``weights:NAME``, published weights that were fetched."""

import importlib
import os
from pathlib import Path

PREFIX = "weights:"
_HOME = "thalweg.weights"
"""Where names are looked up. It stands above storage, since plugins bring the names, and is imported with the
first of them."""


def name_in(place: "str | os.PathLike[str]") -> str | None:
    """The name in ``weights:NAME``; None in any other place.

    A file that is called so is named by ``./weights:NAME``.
    """
    text = os.fspath(place)
    return text.removeprefix(PREFIX) if text.startswith(PREFIX) else None


def is_known_name(place: "str | os.PathLike[str]") -> bool:
    """Whether a place is ``weights:NAME``, be it here or not.

    Raises:
        ConfigError: there are no weights of this name.
    """
    name = name_in(place)
    if name is not None:
        importlib.import_module(_HOME).find(name)
    return name is not None


def named_path(place: "str | os.PathLike[str]") -> Path | None:
    """The file or folder that ``weights:NAME`` stands for, once its checksum was compared; None for any other
    place.

    Raises:
        ConfigError: there are no weights of this name.
        DataError: they are not here, or are damaged.
    """
    name = name_in(place)
    if name is None:
        return None
    found: Path = importlib.import_module(_HOME).path_of(name)
    return found
