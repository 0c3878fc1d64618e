"""The folder in which an evaluation or a drawing keeps what it has done until it is finished."""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from thalweg.errors import ConfigError, ThalwegError

_LOCK = "lock"


def digest(data: Mapping[str, Any]) -> str:
    """SHA-256 of plain values, the same for the same values in any order of keys."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Make a folder and hold its lock; removed afterwards if nothing of use is in it.

    Processes that are started meanwhile share the lock by :func:`shared`, so a folder is free again only
    when the last of them has ended.

    Raises:
        ConfigError: if another process works in it.
        ThalwegError: if it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("a")
    except OSError as error:
        raise ThalwegError(
            f"{folder} cannot be written ({error.strerror or error}); choose another place by --work"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(
                f"another process is doing the same work in {folder}; wait for it or end it"
            ) from error
        fcntl.flock(lock, fcntl.LOCK_SH)
        try:
            yield
        finally:
            if not any(path.suffix == ".safetensors" for path in folder.iterdir()):
                shutil.rmtree(folder)


@contextmanager
def shared(folder: Path) -> Iterator[None]:
    """Hold a share of the lock."""
    with (folder / _LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield
