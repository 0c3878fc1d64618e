"""Names of files: which are images, which belong together, and what all of them together are."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import NamedTuple

from thalweg.data.contents import told
from thalweg.errors import DataError
from thalweg.storage import Location

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")

_AT_ONCE = 16

_log = logging.getLogger("thalweg")


class File(NamedTuple):
    """A file of a folder.

    Attributes:
        name: relative to the folder.
        location: where it is read.
    """

    name: str
    location: Location


def is_image(name: str) -> bool:
    """Whether a name is that of an image; hidden files, as some systems put beside each, are none."""
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def key_of(name: str) -> str:
    """A name without its suffix."""
    return str(PurePosixPath(name).with_suffix(""))


def leads_astray(name: str) -> bool:
    """Whether a name given by a file leads, or might lead, out of the folder it is relative to."""
    parts = name.replace("\\", "/").split("/")
    absolute = parts[0] == "" or (len(parts) > 1 and parts[0].endswith(":"))
    return absolute or ".." in parts or any(ord(letter) < 32 for letter in name)


def files_below(root: Location) -> list[File]:
    """Every file of a folder, folder by folder.

    Raises:
        DataError: if there is no such folder.
    """
    if not root.is_dir():
        raise DataError(
            f"there is no folder {root}; set the source's url to the folder that holds the images"
        )
    files = [File(one.relative(root), one) for one in root.find()]
    # By parts: as text, "a-b/x" would stand between "a" and "a/x".
    return sorted(files, key=lambda file: file.name.split("/"))


def report_ignored(where: Location | str, ignored: Sequence[str], what: str) -> None:
    """One line on files that are passed over, if any are."""
    if ignored:
        _log.warning(
            "%s: ignored %d files that are no %s, the first %s", where, len(ignored), what, ignored[0]
        )


def sizes(files: Sequence[File]) -> list[tuple[str, int]]:
    """Name and size of each file; asked for side by side, since remote ones answer slowly."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = pool.map(lambda file: file.location.size(), files)
        return [(file.name, size) for file, size in zip(files, found, strict=True)]


def told_of(files: Sequence[File]) -> list[str]:
    """What a source's description says of its files: sizes, and the content of some."""
    return told([size for _, size in sizes(files)], lambda place, count: files[place].location.read(0, count))
