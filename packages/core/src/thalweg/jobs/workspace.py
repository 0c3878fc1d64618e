"""The folder in which unfinished work is kept: claimed by those who work on it, resumed, swept."""

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from thalweg.errors import ConfigError
from thalweg.files import link_refused, unwritable
from thalweg.folders import make_folders, remove_tree
from thalweg.storage.holders import is_holder
from thalweg.storage.locks import Lock, cure, locked

_LOCK = "lock"
_WORK = ".safetensors"  # what is done; all else in such a folder is of no use to whoever resumes
_ATTEMPTS = 10


def digest(data: Mapping[str, Any]) -> str:
    """SHA-256 of plain values, the same for the same values in any order of keys."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Make a folder and hold its lock; removed afterwards if nothing of use is in it.

    What a killed process has left half written is removed first. Processes that are started meanwhile share
    the lock by :func:`shared`, so a folder is free again only when the last of them has ended.

    Raises:
        ConfigError: if another process works in it, or a link is in its place or in it.
        ThalwegError: if it cannot be made.
    """
    try:
        lock = _locked(folder)
    except OSError as error:
        raise unwritable(folder, error) from error
    if lock is None:
        raise ConfigError(
            f"another process is doing the same work in {folder}; wait for it or end it{cure(folder / _LOCK)}"
        )
    try:
        _tidy(folder)
        yield
        if not _holds_work(folder):
            _remove(folder)
    except OSError as error:
        # Of the folder itself: whoever works in it reports what else cannot be read or written.
        raise unwritable(folder, error) from error
    except BaseException:
        if not _holds_work(folder):
            with contextlib.suppress(OSError, ConfigError):
                _remove(folder)
        raise
    finally:
        lock.release()


@contextlib.contextmanager
def shared(folder: Path) -> Iterator[None]:
    """Hold a share of the lock.

    Raises:
        FileNotFoundError: if there is none.
    """
    lock = locked(folder / _LOCK, shared=True)
    if lock is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder / _LOCK))
    try:
        yield
    finally:
        lock.release()


def sweep(folders: Iterable[Path]) -> None:
    """Remove those folders in which nobody works and nothing of use is."""
    for folder in folders:
        with contextlib.suppress(OSError, ConfigError):
            if folder.is_symlink() or not folder.is_dir() or _holds_work(folder):
                continue
            lock = locked(folder / _LOCK, wait=False, create=True)
            if lock is None:
                continue
            try:
                if not _holds_work(folder):
                    _remove(folder)
            finally:
                lock.release()


def _locked(folder: Path) -> Lock | None:
    """Its lock, held and shared; None if another process has it."""
    for _ in range(_ATTEMPTS):
        if folder.is_symlink():
            raise link_refused(folder)
        make_folders(folder)
        try:
            lock = locked(folder / _LOCK, wait=False, create=True)
        except FileNotFoundError:
            continue  # who held it has just removed the folder
        if lock is None or lock.share():
            return lock
        lock.release()
        return None
    return None


def _tidy(folder: Path) -> None:
    """Remove what is neither work nor the lock."""
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            raise link_refused(path)
        if path.name != _LOCK and not _is_work(path) and not is_holder(path, folder / _LOCK):
            remove_tree(path)


def _is_work(path: Path) -> bool:
    return path.suffix == _WORK and not path.name.startswith(".")


def _holds_work(folder: Path) -> bool:
    try:
        return any(_is_work(path) for path in folder.iterdir())
    except FileNotFoundError:
        return False


def _remove(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        remove_tree(folder)
