"""Names of files: which are images, which belong together, and which are no part of a data set."""

import logging
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import NamedTuple

from thalweg.data.decoding import LARGEST_IMAGE
from thalweg.data.sources.refusals import no_folder
from thalweg.storage import Location
from thalweg.visible import visible_line

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp")

HIDDEN = "hidden or of a system"

_SYSTEM = frozenset(
    [
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "@eadir",
        "@recently-snapshot",
        "@recycle",
        "@tmp",
        "__macosx",
        "__pycache__",
        "desktop.ini",
        "ehthumbs.db",
        "icon\r",
        "lost+found",
        "network trash folder",
        "recycler",
        "system volume information",
        "temporary items",
        "thumbs.db",
    ]
)
"""Names, in small letters, of what systems, network drives and archivers put among a user's files."""

_log = logging.getLogger("thalweg")


class File(NamedTuple):
    """A file of a folder.

    Attributes:
        name: relative to the folder.
        location: where it is read.
    """

    name: str
    location: Location

    def __str__(self) -> str:
        return str(self.location)

    @property
    def size(self) -> int:
        """Its bytes; the storage is asked."""
        return self.location.size()

    def read(self, count: int | None = None) -> bytes:
        """So many of its first bytes, all by default."""
        return self.location.read(0, count, limit=LARGEST_IMAGE)


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


def is_hidden(part: str) -> bool:
    """Whether one part of a path is hidden, by a dot before it, or belongs to a system or tool."""
    return (part.startswith(".") and part not in (".", "..")) or part.lower() in _SYSTEM


def hidden_in(name: str) -> str | None:
    """A path up to its first part that is hidden, which stands for all below; None if no part is."""
    parts = name.split("/")
    for number, part in enumerate(parts):
        if is_hidden(part):
            return "/".join(parts[: number + 1])
    return None


class Skipped:
    """What is not read of a data set, by the reason why.

    A hidden folder counts once, whatever is in it.
    """

    def __init__(self) -> None:
        self._names: dict[str, dict[str, None]] = {}

    @property
    def counts(self) -> dict[str, int]:
        """How many there are for each reason."""
        return {reason: len(names) for reason, names in self._names.items()}

    def add(self, reason: str, names: Iterable[str]) -> None:
        """Note what is skipped."""
        new = dict.fromkeys(names)
        if new:
            self._names.setdefault(reason, {}).update(new)

    def take_hidden(self, names: Iterable[str]) -> list[str]:
        """The names that are not hidden; the others are noted."""
        kept: list[str] = []
        hidden: dict[str, None] = {}
        for name in names:
            found = hidden_in(name)
            if found is None:
                kept.append(name)
            else:
                hidden[found] = None
        self.add(HIDDEN, hidden)
        return kept

    def merge(self, other: "Skipped", prefix: str = "") -> None:
        """Take over what another has noted, its names behind a prefix."""
        for reason, names in other._names.items():
            self.add(reason, (prefix + name for name in names))

    def report(self, where: Location | str) -> None:
        """Say it in one line, if there is anything."""
        if self._names:
            parts = [
                f"{len(names)} {reason} (the first {next(iter(names))})"
                for reason, names in self._names.items()
            ]
            _log.warning("%s", visible_line(f"{where}: skipped {', '.join(parts)}"))


def files_below(root: Location) -> tuple[list[File], Skipped]:
    """Every file of a folder that is not hidden, folder by folder, and what is skipped.

    Raises:
        DataError: if there is no such folder, or links in it lead nowhere or round in circles.
    """
    if not root.is_dir():
        raise no_folder(root)
    passed = Skipped()
    every = {one.relative(root): one for one in root.find(closed=is_hidden)}
    files = [File(name, every[name]) for name in passed.take_hidden(every)]
    return sorted(files, key=_order), passed


def _order(file: File) -> tuple[list[str], str]:
    """By parts: as text, "a-b/x" would stand between "a" and "a/x". However a system encodes accents."""
    return unicodedata.normalize("NFC", file.name).split("/"), file.name
