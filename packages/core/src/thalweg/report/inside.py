"""What lies in a run's folder, read without leaving it: no link below the folder is followed.

A run may come from a stranger, and what a report shows of it is sent on.
"""

import errno
import os
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

from thalweg.errors import DataError
from thalweg.regular import content_of, taken_over

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_FILES, _DEEPEST, _LONGEST = 1_000_000, 50, 1000


def open_inside(folder: Path, path: Path) -> BufferedReader:
    """A regular file below a folder, open for reading.

    Args:
        folder: may be reached through links, as its user named it.
        path: the file, beginning with ``folder``.

    Raises:
        OSError: if it cannot be opened, or a link stands at any place of the way.
    """
    *above, name = path.relative_to(folder).parts
    place, way = os.open(folder, _FOLDER), folder
    try:
        for part in above:
            way = way / part
            below = _step(part, _FOLDER, place, way)
            os.close(place)
            place = below
        descriptor = _step(name, _FILE, place, path)
    finally:
        os.close(place)
    return taken_over(descriptor, path)


def read_inside(folder: Path, path: Path, limit: int) -> bytes:
    """The content of a regular file below a folder.

    Args:
        folder: as of :func:`open_inside`.
        path: as well.
        limit: of bytes.

    Raises:
        OSError: if it cannot be read, is longer, or a link stands at any place of the way.
    """
    with open_inside(folder, path) as file:
        return content_of(file, limit, path)


def _step(name: str, flags: int, place: int, way: Path) -> int:
    try:
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=place)
    except OSError as error:
        # The system says ELOOP or ENOTDIR, which nobody understands.
        if way.is_symlink():
            raise OSError(errno.ELOOP, "it is a link, and links are not followed", str(way)) from error
        raise


def files_inside(folder: Path, suffix: str, links: list[Path]) -> Iterator[Path]:
    """All names below a folder that end so, sorted by folder; those of links are put into ``links``.

    Raises:
        DataError: if there are a million files.
    """
    seen = 0
    for place, folders, names in os.walk(folder, followlinks=False):
        folders.sort()
        seen += len(names) + len(folders)
        if seen > _MOST_FILES:
            raise DataError(f"{folder} holds more than {_MOST_FILES:,} files; name the folder of one run")
        links += [path for name in folders if (path := Path(place, name)).is_symlink()]
        for name in sorted(names):
            path = Path(place, name)
            if not name.endswith(suffix):
                continue
            if path.is_symlink():
                links.append(path)
            else:
                yield path


def shortened(value: Any) -> Any:
    """Plain values with every text cut to what a report would show of it at most."""
    if isinstance(value, Mapping):
        return {str(key)[:_LONGEST]: shortened(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shortened(one) for one in value]
    return value[:_LONGEST] if isinstance(value, str) else value


def check_depth(table: Mapping[str, Any]) -> None:
    """Make sure that plain values can be walked through.

    Raises:
        ValueError: if tables and lists lie within each other many times over.
    """
    level: list[Any] = [table]
    for _ in range(_DEEPEST):
        level = [
            below
            for one in level
            for below in (one.values() if isinstance(one, Mapping) else one)
            if isinstance(below, Mapping | list)
        ]
    if level:
        raise ValueError("it is nested too deeply")
