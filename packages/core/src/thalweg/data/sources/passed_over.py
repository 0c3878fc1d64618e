"""What lies within a data set and is no part of it: hidden files, those that systems and tools leave behind,
and whatever else is not read."""

import logging
from collections.abc import Iterable

from thalweg.storage import Location
from thalweg.visible import visible_line

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


class PassedOver:
    """What is not read of a data set, by the reason why.

    A hidden folder counts once, whatever lies in it.
    """

    def __init__(self) -> None:
        self._names: dict[str, dict[str, None]] = {}

    @property
    def counts(self) -> dict[str, int]:
        """How many there are for each reason."""
        return {reason: len(names) for reason, names in self._names.items()}

    def add(self, reason: str, names: Iterable[str]) -> None:
        """Note what is passed over."""
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

    def merge(self, other: "PassedOver", prefix: str = "") -> None:
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
            _log.warning("%s", visible_line(f"{where}: passed over {', '.join(parts)}"))
