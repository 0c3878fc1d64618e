"""Locks between processes that end with the process that holds them, however it ends."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from thalweg.errors import ConfigError
from thalweg.files import link_refused

# Through no link, and without waiting for whoever may write into a FIFO of this name.
_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

# A child that is forked while a lock is held would keep it beyond its holder's end.
_held: set[int] = set()


def _after_fork() -> None:
    for descriptor in list(_held):
        os.close(descriptor)  # closes the child's copy and leaves the parent's lock
    _held.clear()


os.register_at_fork(after_in_child=_after_fork)


class Lock:
    """A locked file, until released.

    Args:
        descriptor: of the open file; owned from here on.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._process = os.getpid()
        _held.add(descriptor)

    @property
    def descriptor(self) -> int:
        """Of the open file."""
        return self._descriptor

    def release(self) -> None:
        """Unlock and close it. A forked child has closed it already, and does nothing."""
        if self._process == os.getpid() and self._descriptor in _held:
            _held.discard(self._descriptor)
            # Said rather than left to closing: a child may hold a copy for a moment.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)


def locked(path: Path, *, shared: bool = False, wait: bool = True, create: bool = False) -> Lock | None:
    """Lock a file, the one that bears the name once it is locked.

    Args:
        path: the file.
        shared: together with others who share it.
        wait: until it is free; otherwise return None at once.
        create: make it if there is none; otherwise return None.

    Raises:
        ConfigError: the file system knows no locks.
    """
    mode = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    while True:
        try:
            descriptor = os.open(path, _FLAGS | (os.O_CREAT if create else 0), 0o666)
        except FileNotFoundError:
            if create:
                raise
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise link_refused(path) from error
            if error.errno in (errno.EISDIR, errno.ENXIO):
                raise ConfigError(f"{path} is no regular file; remove it, and it is made anew") from error
            raise
        lock = Lock(descriptor)
        try:
            fcntl.flock(descriptor, mode)
        except BlockingIOError:
            lock.release()
            return None
        except OSError as error:
            lock.release()
            raise ConfigError(
                f"{path.parent} lies on a file system without locks ({error.strerror}); choose another folder"
            ) from error
        if _bears_its_name(descriptor, path):
            return lock
        lock.release()  # Somebody took it away meanwhile.


@contextlib.contextmanager
def holding(path: Path) -> Iterator[None]:
    """Hold the lock that a file of this name stands for, waiting for it; its folder must be there."""
    lock = locked(path, create=True)
    assert lock is not None  # noqa: S101 - it waits and creates
    try:
        yield
    finally:
        lock.release()


def _bears_its_name(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    mine = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)
