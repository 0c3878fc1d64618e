"""Which classes there are: where folders are classes, and where labels are numbers."""

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
        listed = " and ".join(filter(None, (", ".join(classes[:-1]), classes[-1])))
        first = next((name for name in classes if name.lower().startswith("train")), classes[0])
        raise DataError(
            f"the folders of {root} are called as the parts of a data set are, {listed}, so they are no "
            f"classes; set the source's url to one of them, such as {root}/{first}"
        )
    below = {parts[1] for parts in (name.split("/") for name in images) if len(parts) > 2}
    if len(classes) == 1 and len(below) > 1:
        _log.warning(
            "%s: all images are in %s, which so is the only class; if the folders in it are the classes, set "
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


def classes_of(where: str, labels: Sequence[int], stated: int | None = None) -> int:
    """One more than the largest label, or what is stated. Numbers stay as they are; those that no image has
    are reported in one line.

    Raises:
        DataError: if a label is beyond what is stated.
    """
    largest = max(labels)
    if stated is not None:
        if largest >= stated:
            raise DataError(f"{where} holds the label {largest}, beyond {stated} classes; correct the number")
        return stated
    present = set(labels)
    if len(present) <= largest:
        first = next(number for number in range(largest) if number not in present)
        _log.warning(
            "%s: labels go up to %d, so there are %d classes; of %d there is no image, the first is %d",
            where,
            largest,
            largest + 1,
            largest + 1 - len(present),
            first,
        )
    return largest + 1
