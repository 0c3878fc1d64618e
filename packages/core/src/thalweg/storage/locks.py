"""Locks between processes that end with the process that holds them, however it ends.

They are the kernel's. On a file system that knows none, files beside the lock take their place: see
:mod:`thalweg.storage.holders`.
"""

import contextlib
import logging
import math
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

from thalweg import flocks
from thalweg.files import own_descriptor
from thalweg.storage.holders import announced, cure, holders, passed_on

__all__ = ["Lock", "cure", "holding", "locked"]

_TRIES = 4  # two that announce themselves at once both step back
_PAUSE, _LONGEST_PAUSE, _TOLD_AFTER = 0.02, 0.5, 10.0  # seconds

_log = logging.getLogger("thalweg")
_told: set[Path] = set()

# A child that is forked while a lock is held would keep it beyond its holder's end.
_held: set[int] = set()


def _after_fork() -> None:
    for descriptor in list(_held):
        os.close(descriptor)  # closes the child's copy and leaves the parent's lock
    _held.clear()


os.register_at_fork(after_in_child=_after_fork)


class Lock:
    """A locked file, until released.

    Attributes:
        descriptor: of the open file.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        self.descriptor, self._path = descriptor, path
        self._process = os.getpid()
        self._announced: Path | None = None  # where the kernel has no locks
        _held.add(descriptor)

    def bears_its_name(self) -> bool:
        """Whether it is still what others lock by this name."""
        try:
            there = self._path.lstat()
        except FileNotFoundError:
            return False
        if self._announced is not None and not self._announced.exists():
            return False
        return os.path.samestat(there, os.fstat(self.descriptor))

    def share(self) -> bool:
        """Let others share it; whether it is still held."""
        if self._announced is not None:
            self._announced = passed_on(self._announced, self._path)
            return True
        return flocks.take(self.descriptor, shared=True)

    def rename(self, path: Path) -> None:
        """Give the file, which is shared, another name, under which it stays locked."""
        former, self._path = self._path, path
        if self._announced is not None:
            self._announced = passed_on(self._announced, path)
        former.replace(path)

    def release(self) -> None:
        """Unlock and close it, once. A forked child has closed it already, and does nothing."""
        if self._process == os.getpid():
            self._process = 0
            _held.discard(self.descriptor)
            # Explicit rather than left to closing: a child may hold a copy for a moment.
            if self._announced is None:
                with contextlib.suppress(OSError):
                    flocks.free(self.descriptor)
            os.close(self.descriptor)
            if self._announced is not None:
                self._announced.unlink(missing_ok=True)

    def _take(self, *, shared: bool, wait: bool) -> bool:
        try:
            return flocks.take(self.descriptor, shared=shared, wait=wait)
        except flocks.NoLocksError as error:
            _tell(self._path, error)
        tries, until = 0, time.monotonic() + _TOLD_AFTER
        while not self._announce(shared=shared):
            tries += 1
            if not wait and tries == _TRIES:
                return False
            if until < time.monotonic():
                until = math.inf
                _log.warning("waiting for another process that holds %s%s", self._path, cure(self._path))
            # Longer and longer, and no two of them in step.
            time.sleep(min(_PAUSE * 2**tries, _LONGEST_PAUSE) * random.uniform(0.5, 1.5))  # noqa: S311
        return True

    def _announce(self, *, shared: bool) -> bool:
        mine = announced(self._path, shared=shared)
        try:
            if all(one.path == mine or (one.shared and shared) for one in holders(self._path)):
                self._announced = mine
        finally:
            if self._announced is None:
                mine.unlink(missing_ok=True)
        return self._announced is not None


def locked(path: Path, *, shared: bool = False, wait: bool = True, create: bool = False) -> Lock | None:
    """Lock a file, the one that bears the name once it is locked.

    Args:
        path: the file.
        shared: together with others who share it.
        wait: until it is free; otherwise return None at once.
        create: make it if there is none; otherwise return None.

    Raises:
        ConfigError: a link or anything but a regular file has its name.
        OSError: it cannot be opened, or its folder not be written.
    """
    while True:
        try:
            lock = Lock(own_descriptor(path, create=create), path)
        except FileNotFoundError:
            if create:
                raise
            return None
        try:
            if not lock._take(shared=shared, wait=wait):
                lock.release()
                return None
            if lock.bears_its_name():
                return lock
        except FileNotFoundError:
            pass
        except BaseException:
            lock.release()
            raise
        lock.release()  # Somebody took it away meanwhile, or the folder.


@contextlib.contextmanager
def holding(path: Path, waiting: str = "") -> Iterator[None]:
    """Hold the lock that a file of this name stands for, waiting for it; its folder must be there.

    Args:
        path: of the file.
        waiting: warned of if another process has it; empty says nothing.
    """
    lock = locked(path, wait=not waiting, create=True)
    if lock is None:
        _log.warning("%s", waiting)
        lock = locked(path, create=True)
    assert lock is not None  # noqa: S101 - it waits and creates
    try:
        yield
    finally:
        lock.release()


def _tell(path: Path, error: OSError) -> None:
    """Once in a process."""
    if _told:
        return
    _told.add(path.parent)
    _log.warning(
        "%s is on a file system without locks (%s), so files named .%s.held-... keep processes apart; "
        "they do not hold off a machine that sees the folder late or has locks there, and what is killed on "
        "another machine leaves such a file, which then has to be removed by hand",
        path.parent,
        error.strerror,
        path.name,
    )
