"""Any of fsspec's file systems, by what all of them have in common."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs

from thalweg.storage.failures import TransientError
from thalweg.storage.stores.entry import Closed, Entry, opens_all
from thalweg.storage.streams import Span, Stream

_RANGE = 8 << 20
_PATTERN = frozenset("*?[")
_VERSIONS = (
    "ETag",
    "etag",
    "generation",
    "md5Hash",
    "mtime",
    "LastModified",
    "last_modified",
    "updated",
    "created",
    "blob_id",
)


@attrs.frozen
class _Ranges:
    """Read in ranges, since a stream of unknown making cannot be taken up where it broke."""

    span: Span
    files: Any
    path: str
    stop: int | None

    def pieces(self) -> Iterator[bytes]:
        end = self.span.total if self.stop is None else min(self.stop, self.span.total or 0)
        for start in range(self.span.start, end or 0, _RANGE):
            stop = min(start + _RANGE, end or 0)
            piece = self.files.cat_file(self.path, start=start, end=stop)
            if len(piece) != stop - start:
                raise TransientError(f"it sent {len(piece):,} of {stop - start:,} bytes")
            yield piece
        # Asked once, as it may cost several requests. Begun anew, the other version is noticed.
        if version_of(self.files.info(self.path)) != self.span.version:
            raise TransientError("it changed while it was read")

    def close(self) -> None:
        pass


class RemoteStore:
    """A file system of fsspec.

    Args:
        files: an instance of it.
    """

    def __init__(self, files: Any) -> None:
        self._files = files

    def open(self, path: str, start: int, stop: int | None) -> Stream:
        """Begin to read."""
        found = self._files.info(path)
        if found["type"] == "directory":
            raise IsADirectoryError("is a folder")
        return _Ranges(Span(start, found["size"], version_of(found)), self._files, path, stop)

    def entry(self, path: str) -> Entry:
        """What lies there."""
        found = self._files.info(path)
        if found["type"] == "directory":
            return Entry(folder=True)
        return Entry(folder=False, size=found["size"], version=version_of(found))

    def children(self, path: str) -> list[str]:
        """Names in a folder."""
        return children(self._files, path)

    def find(self, path: str, closed: Closed = opens_all) -> list[str]:  # noqa: ARG002
        """Files below a folder."""
        return find(self._files, path)

    def write(self, path: str, data: bytes) -> None:
        """Put a file there."""
        self._files.pipe_file(path, data)

    def upload(self, path: str, source: Path) -> None:
        """Put a local file there."""
        self._files.put_file(str(source), path)

    def remove(self, path: str) -> None:
        """Take it away."""
        remove(self._files, path)

    def makedirs(self, path: str) -> None:
        """Make a folder, where the file system has them; object stores would make a bucket."""
        if "gs" not in _protocols(self._files):
            self._files.makedirs(path, exist_ok=True)


def version_of(info: Mapping[str, Any]) -> str:
    """What changes when a file is replaced, from what fsspec tells of it."""
    said = next((str(info[name]) for name in _VERSIONS if info.get(name)), "")
    return said if '"' in said else f"{said}-{info.get('size')}"


def children(files: Any, path: str) -> list[str]:
    """Names of what lies directly in a folder."""
    folder = _stripped(files, path)
    names = (one["name"].rstrip("/") for one in files.ls(path, detail=True))
    # Some stores list the folder's own marker, and a file as what is in it.
    return [name.rpartition("/")[2] for name in names if name != folder]


def find(files: Any, path: str) -> list[str]:
    """Paths of all files below a folder, relative to it."""
    folder = _stripped(files, path)
    found = [name for name in files.find(path) if name.startswith(f"{folder}/") and not name.endswith("/")]
    if not found and not files.isdir(path):
        raise FileNotFoundError(path)
    return [name.removeprefix(f"{folder}/") for name in found]


def remove(files: Any, path: str) -> None:
    """Take away a file or a folder with all in it, if there is one."""
    with suppress(FileNotFoundError):
        if not _PATTERN & set(path):
            files.rm(path, recursive=True)
            return
        # There rm() would take the path for a pattern, and its neighbours along.
        for one in files.find(path):
            files.rm_file(one)
        if files.isdir(path):
            for folder, _, _ in files.walk(path, topdown=False):
                files.rmdir(folder)


def _stripped(files: Any, path: str) -> str:
    return str(files._strip_protocol(path)).rstrip("/")


def _protocols(files: Any) -> tuple[str, ...]:
    return (files.protocol,) if isinstance(files.protocol, str) else tuple(files.protocol)
