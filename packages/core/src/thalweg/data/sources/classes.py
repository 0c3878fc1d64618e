"""Folders that are classes, and those that only look like it."""

import logging
import unicodedata
from collections.abc import Sequence

from thalweg.errors import DataError
from thalweg.storage import Location

_PARTS = frozenset(["train", "training", "val", "valid", "validation", "dev", "test", "testing"])
"""What the parts of a data set are called, in small letters."""

_log = logging.getLogger("thalweg")


def check_classes(root: Location, classes: Sequence[str], images: Sequence[str]) -> None:
    """Refuse the parts of a data set, and say what about other names may be no class.

    Args:
        root: the folder.
        classes: its folders that hold images, at least one.
        images: the images' names, relative to the folder.

    Raises:
        DataError: if all folders are called like the parts of a data set.
    """
    if all(name.lower() in _PARTS for name in classes):
        raise DataError(
            f"the folders of {root} are called as the parts of a data set are, {_listed(classes)}, so they "
            f"are no classes; set the source's url to one of them, such as {root}/{_first(classes)}"
        )
    below = {parts[1] for parts in (name.split("/") for name in images) if len(parts) > 2}
    if len(classes) == 1 and len(below) > 1:
        _log.warning(
            "%s: all images lie in %s, which so is the only class; if the folders in it are the classes, set "
            "the source's url to %s/%s",
            *(root, classes[0], root, classes[0]),
        )
    alike: dict[str, str] = {}
    for name in classes:
        other = alike.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            _log.warning(
                "%s: %a and %a are two classes, and differ only in case or in how letters are encoded",
                *(root, other, name),
            )


def _first(classes: Sequence[str]) -> str:
    return next((name for name in classes if name.lower().startswith("train")), classes[0])


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
