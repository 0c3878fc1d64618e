"""Disks that note what is done to them, and one where an operation does not work."""

import errno
import os
import signal
from pathlib import Path
from typing import Any

from thalweg.files import Disk

OPERATIONS = ("create", "write", "sync", "move", "exchange", "make_folder", "remove", "remove_folder")
_TAKING_ROOM = ("create", "write", "sync", "make_folder")


class NotingDisk(Disk):
    """Writes down each operation before it is done.

    Attributes:
        done: name of the operation, and of the file or folder that it is about, in order.
    """

    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []

    def __getattribute__(self, name: str) -> Any:
        found = object.__getattribute__(self, name)
        if name not in OPERATIONS:
            return found

        def noted(*arguments: Any) -> Any:
            about = arguments[-1] if name in ("move", "exchange") else arguments[0]
            path = Path(f"/proc/self/fd/{about}").readlink() if isinstance(about, int) else about
            self.done.append((name, path.name))
            self.before(len(self.done), name, arguments)
            return found(*arguments)

        return noted

    def before(self, number: int, name: str, arguments: tuple[Any, ...]) -> None:
        """Called before the operation of this number, from 1."""


class FaultyDisk(NotingDisk):
    """One operation does not work.

    Args:
        at: its number from 1.
        fault: ``kill``: the process is killed, in the middle of a write or before another operation;
            ``full``: from then on there is no room to write or make anything; ``broken``: that operation
            alone fails.
    """

    def __init__(self, at: int, fault: str) -> None:
        super().__init__()
        self._at, self._fault = at, fault

    def before(self, number: int, name: str, arguments: tuple[Any, ...]) -> None:
        """The fault, if it is time for it."""
        if self._fault == "full" and number >= self._at and name in _TAKING_ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if number == self._at and self._fault == "broken":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if number == self._at and self._fault == "kill":
            if name == "write":
                descriptor, content = arguments
                os.write(descriptor, content[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
