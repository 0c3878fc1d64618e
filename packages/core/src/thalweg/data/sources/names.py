"""Names of files: which are images, which belong together, and what all of them together are."""

import unicodedata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import NamedTuple

from thalweg.data.contents import fingerprints
from thalweg.data.sources.passed_over import PassedOver, is_hidden
from thalweg.data.sources.refusals import no_folder
from thalweg.storage import Location

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp")

_AT_ONCE = 16


class File(NamedTuple):
    """A file of a folder.

    Attributes:
        name: relative to the folder.
        location: where it is read.
    """

    name: str
    location: Location


def is_image(name: str) -> bool:
    """Whether a name, which is not hidden, is that of an image that can be read."""
    return name.lower().endswith(SUFFIXES)


def key_of(name: str) -> str:
    """A name without its suffix."""
    return str(PurePosixPath(name).with_suffix(""))


def leads_astray(name: str) -> bool:
    """Whether a name given by a file leads, or might lead, out of the folder it is relative to."""
    parts = name.replace("\\", "/").split("/")
    absolute = parts[0] == "" or (len(parts) > 1 and parts[0].endswith(":"))
    return absolute or ".." in parts or any(ord(letter) < 32 for letter in name)


def files_below(root: Location) -> tuple[list[File], PassedOver]:
    """Every file of a folder that is not hidden, folder by folder, and what is passed over.

    Raises:
        DataError: if there is no such folder, or links in it lead nowhere or round in circles.
    """
    if not root.is_dir():
        raise no_folder(root)
    passed = PassedOver()
    every = {one.relative(root): one for one in root.find(closed=is_hidden)}
    files = [File(name, every[name]) for name in passed.take_hidden(every)]
    return sorted(files, key=_order), passed


def _order(file: File) -> tuple[list[str], str]:
    """By parts: as text, "a-b/x" would stand between "a" and "a/x". However a system encodes accents."""
    return unicodedata.normalize("NFC", file.name).split("/"), file.name


def sizes(files: Sequence[File]) -> list[tuple[str, int]]:
    """Name and size of each file; asked for side by side, since remote ones answer slowly."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = pool.map(lambda file: file.location.size(), files)
        return [(file.name, size) for file, size in zip(files, found, strict=True)]


def fingerprints_of(files: Sequence[File]) -> list[str]:
    """What a source's description says of its files: sizes, and the content of some."""
    return fingerprints(
        [size for _, size in sizes(files)], lambda place, count: files[place].location.read(0, count)
    )
