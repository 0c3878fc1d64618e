"""Regular files, read: never a FIFO, a device or a socket, on which a read may wait for ever.

Text is UTF-8 whatever the locale, and what is read whole has a bound, so that no untrusted file
can hang or exhaust the process that looks at it.
"""

import errno
import json
import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import Any, NoReturn

LARGEST_DOCUMENT = 256 * 2**20
"""Bytes of a text or JSON document that is read whole."""

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class NotRegularError(OSError):
    """A path that leads to something else than a regular file."""


class TooLongError(OSError):
    """A file that is longer than whatever reads it would ever write."""


def opened(path: Path) -> BufferedReader:
    """A regular file, open for reading; links are followed.

    Raises:
        NotRegularError: if it is something else; nothing waits for it.
        OSError: if it cannot be opened.
    """
    # A FIFO without a writer would block here, if asked to.
    return taken_over(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), path)


def taken_over(descriptor: int, path: Path) -> BufferedReader:
    """What was opened without waiting, if it is a regular file; else it is closed.

    Raises:
        NotRegularError: if it is something else.
    """
    try:
        check_regular(os.fstat(descriptor), path)
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def check_regular(status: os.stat_result, path: Path) -> None:
    """Make sure that a path leads to a regular file, for readers that open it themselves.

    Raises:
        NotRegularError: if it is something else.
    """
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise NotRegularError(errno.EINVAL, f"it is {kind}, not a regular file", str(path))


def read_bytes(path: Path, limit: int = LARGEST_DOCUMENT) -> bytes:
    """The content of a regular file of bounded length.

    Raises:
        NotRegularError: if it is something else.
        TooLongError: if it is longer than ``limit`` bytes.
        OSError: if it cannot be read.
    """
    with opened(path) as file:
        return content_of(file, limit, path)


def content_of(file: BufferedReader, limit: int, path: Path) -> bytes:
    """The same of an open file.

    Raises:
        TooLongError: if it is longer than ``limit`` bytes.
        OSError: if it cannot be read.
    """
    # As much as there should be, as all that is requested is taken from memory first.
    size = os.fstat(file.fileno()).st_size
    content = file.read(min(size, limit) + 1)
    if size < len(content) <= limit:
        content += file.read(limit + 1 - len(content))
    if len(content) > limit:
        raise TooLongError(errno.EFBIG, f"it has more than {limit:,} bytes", str(path))
    return content


def read_text(path: Path, limit: int = LARGEST_DOCUMENT) -> str:
    """The same as text.

    Raises:
        OSError: as :func:`read_bytes`.
        UnicodeDecodeError: if it is no UTF-8.
    """
    return read_bytes(path, limit).decode()


def read_json(path: Path, limit: int = LARGEST_DOCUMENT) -> Any:
    """The same as JSON.

    Raises:
        OSError: as :func:`read_bytes`.
        ValueError: if it is no JSON, states a number that JSON does not have, or is nested too deeply.
    """
    return parse_json(read_bytes(path, limit))


def parse_json(text: str | bytes) -> Any:
    """JSON as plain values.

    Raises:
        ValueError: if it is no JSON, states a number that JSON does not have, or is nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
