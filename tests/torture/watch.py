"""Every change of the disk in this process, seen from below: whatever library makes it, it is told first."""

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_EVENTS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.symlink"}


class Watch:
    """Calls back before each change of a file or folder below a place, in this process from now on.

    Opened for writing, renamed, removed, made, cut, synced; by Python's own functions, through whatever
    library. Python's audit events tell; syncs and exchanged folders, of which they do not, are wrapped.

    Args:
        below: the place.
        before: given the number from 1, the name of the operation and the path.
        after: given the same for syncs and renames alone, when they are done.
    """

    def __init__(
        self,
        below: Path,
        before: Callable[[int, str, str], None],
        after: Callable[[int, str, str], None] = lambda *_: None,
    ) -> None:
        self._below, self._before, self._after = os.path.realpath(below), before, after
        self._main = os.getpid()
        self.count = 0
        self._here, self._turn = threading.local(), threading.Lock()
        sys.addaudithook(self._heard)
        real_sync, real_replace, real_rename = os.fsync, os.replace, os.rename

        def fsync(descriptor: Any) -> None:
            path = os.readlink(
                f"/proc/self/fd/{descriptor if isinstance(descriptor, int) else descriptor.fileno()}"
            )
            self._tell("sync", path)
            real_sync(descriptor)
            self._tell("synced", path, done=True)

        def replace(source: Any, target: Any, **options: Any) -> None:
            real_replace(source, target, **options)
            self._tell("renamed", os.fspath(target), done=True)

        def rename(source: Any, target: Any, **options: Any) -> None:
            real_rename(source, target, **options)
            self._tell("renamed", os.fspath(target), done=True)

        os.fsync = os.fdatasync = fsync
        os.replace, os.rename = replace, rename
        from thalweg.files import Disk

        real_exchange, real_write = Disk.exchange, Disk.write

        def exchange(disk: Disk, one: Path, other: Path) -> None:
            self._tell("exchange", str(other))
            real_exchange(disk, one, other)
            self._tell("exchanged", str(other), done=True)

        def write(disk: Disk, descriptor: int, content: memoryview) -> int:
            self._tell("write", os.readlink(f"/proc/self/fd/{descriptor}"))
            return real_write(disk, descriptor, content)

        Disk.exchange, Disk.write = exchange, write  # type: ignore[method-assign]

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if getattr(self._here, "busy", False) or os.getpid() != self._main:
            return
        if event == "open":
            path, _, flags = arguments
            if not isinstance(path, str | bytes) or not isinstance(flags, int) or not flags & _WRITING:
                return
            self._tell("open", os.fsdecode(path))
        elif event in _EVENTS:
            path = arguments[1] if event in ("os.rename", "os.link", "os.symlink") else arguments[0]
            if isinstance(path, int):
                path = os.readlink(f"/proc/self/fd/{path}")
            self._tell(event[3:], os.fsdecode(os.fspath(path)))

    def _tell(self, name: str, path: str, *, done: bool = False) -> None:
        if getattr(self._here, "busy", False) or not os.path.abspath(path).startswith(self._below):
            return
        self._here.busy = True
        try:
            with self._turn:
                if done:
                    self._after(self.count, name, path)
                else:
                    self.count += 1
                    self._before(self.count, name, path)
        finally:
            self._here.busy = False
