"""Files of a run's folder, read without leaving it and checked: no link below the folder is followed.

A run may come from a third party, and what a report shows of it is sent on.
"""

import errno
import io
import os
import warnings
import zlib
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

from thalweg.errors import DataError
from thalweg.regular import content_of, taken_over

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_FILES, _DEEPEST, _LONGEST = 1_000_000, 50, 1000
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LONGEST_SIDE, _MOST_PIXELS = 16384, 32 * 2**20

_LARGEST_PICTURE = 64 * 2**20  # bytes


def open_inside(folder: Path, path: Path) -> BufferedReader:
    """A regular file below a folder, open for reading.

    Args:
        folder: may be reached through links, as its user named it.
        path: the file, beginning with ``folder``.

    Raises:
        OSError: if it cannot be opened, or any part of the path is a link.
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
        OSError: if it cannot be read, is longer, or any part of the path is a link.
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
        ValueError: if tables and lists are nested many times over.
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


def read_picture(folder: Path, path: Path) -> bytes:
    """A picture of a run, which is a whole PNG file of sane size.

    Raises:
        OSError: as :func:`read_inside`.
        ValueError: as :func:`check_picture`.
    """
    content = read_inside(folder, path, _LARGEST_PICTURE)
    check_picture(content)
    return content


def reason_of(error: Exception) -> str:
    """Why a file cannot be read, in words: what the system says, or what is wrong with the content."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def check_picture(content: bytes) -> None:
    """Make sure that a file is a PNG that can be shown.

    Raises:
        ValueError: if it is none, damaged, cut off, or of a size that no grid of samples has.
    """
    # Only where there is a picture.
    from PIL import Image

    width, height = (int.from_bytes(content[begin : begin + 4], "big") for begin in (16, 20))
    if not _is_whole(content):
        raise ValueError("it is no whole PNG file")
    # Before anything is unpacked.
    if max(width, height) > _LONGEST_SIDE or width * height > _MOST_PIXELS:
        raise ValueError(f"it has {width:,} x {height:,} pixels")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
                picture.load()
    # Pillow raises whatever comes up in a damaged file.
    except Exception as error:
        raise ValueError("it is no whole PNG file") from error


def _is_whole(content: bytes) -> bool:
    """Whether all chunks of a PNG are there and match their checksums, which Pillow looks at in part."""
    at, kind = len(_SIGNATURE), b""
    if not content.startswith(_SIGNATURE):
        return False
    while kind != b"IEND":
        end = at + 8 + int.from_bytes(content[at : at + 4], "big")
        kind, stated = content[at + 4 : at + 8], int.from_bytes(content[end : end + 4], "big")
        if end + 4 > len(content) or zlib.crc32(memoryview(content)[at + 4 : end]) != stated:
            return False
        at = end + 4
    return True
