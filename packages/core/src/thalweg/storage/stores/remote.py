"""Any of fsspec's file systems, by what all of them have in common."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from thalweg.storage.failures import TransientError
from thalweg.storage.streams import ByteStream, Closed, StoredEntry

_RANGE = 8 << 20
_PATTERN = frozenset("*?[")
_BUCKETED = frozenset(["s3", "gs"])
_VERSIONS = (
    *(
        "ETag",
        "etag",
        "generation",
        "md5Hash",
        "mtime",
        "LastModified",
        "last_modified",
        "updated",
        "created",
    ),
    "blob_id",
)


class RemoteStore:
    """Files and folders by path, as :class:`thalweg.storage.stores.local.LocalStore` has them.

    Args:
        files: a file system of fsspec.
    """

    def __init__(self, files: Any) -> None:
        self._files = files

    @contextlib.contextmanager
    def open(self, path: str, start: int, stop: int | None) -> Iterator[ByteStream]:
        """Begin to read, in ranges: a stream of unknown making cannot be taken up where it broke."""
        found = self._files.info(path)
        if found["type"] == "directory":
            raise IsADirectoryError("is a folder")
        size, version = found["size"], self._version(found)
        end = min(size or 0, size or 0 if stop is None else stop)
        yield ByteStream(start, size, version, self._ranges(path, start, end, version))

    def _ranges(self, path: str, start: int, end: int, version: str) -> Iterator[bytes]:
        for begin in range(start, end, _RANGE):
            stop = min(begin + _RANGE, end)
            piece = self._files.cat_file(path, start=begin, end=stop)
            if len(piece) != stop - begin:
                raise TransientError(f"it sent {len(piece):,} of {stop - begin:,} bytes")
            yield piece
        # Asked once, as it may cost several requests. Begun anew, the other version is noticed.
        if self._version(self._files.info(path)) != version:
            raise TransientError("it changed while it was read")

    def pinned(self, path: str) -> str:
        """The URL of the version that is there now, where versions have URLs; else the same."""
        return path

    def entry(self, path: str) -> StoredEntry:
        """What is stored there."""
        found = self._files.info(path)
        if found["type"] == "directory":
            return StoredEntry(folder=True)
        return StoredEntry(folder=False, size=found["size"], version=self._version(found))

    def children(self, path: str) -> list[str]:
        """Names in a folder."""
        folder = self._stripped(path)
        names = (one["name"].rstrip("/") for one in self._files.ls(path, detail=True))
        # Some stores list the folder's own marker, and a file as what is in it.
        return [name.rpartition("/")[2] for name in names if name != folder]

    def find(self, path: str, closed: Closed) -> list[str]:  # noqa: ARG002
        """Files below a folder, those below closed names too: one request lists everything."""
        above = f"{self._stripped(path)}/"
        names = (name for name in self._files.find(path) if name.startswith(above))
        found = [name.removeprefix(above) for name in names if not name.endswith("/")]
        if not found and not self._files.isdir(path):
            raise FileNotFoundError(path)
        return found

    def write(self, path: str, data: bytes) -> None:
        """Put a file there."""
        self._files.pipe_file(path, data)

    def upload(self, path: str, source: Path) -> None:
        """Put a local file there."""
        self._files.put_file(str(source), path)

    def remove(self, path: str) -> None:
        """Take it away."""
        with contextlib.suppress(FileNotFoundError):
            if not _PATTERN & set(path):
                self._files.rm(path, recursive=True)
                return
            # There rm() would take the path for a pattern, and its neighbours along.
            for one in self._files.find(path):
                self._files.rm_file(one)
            if self._files.isdir(path):
                for folder, _, _ in self._files.walk(path, topdown=False):
                    self._files.rmdir(folder)

    def makedirs(self, path: str) -> None:
        """Make a folder, where the file system has them: of object stores, a bucket is not ours to make."""
        protocols = self._files.protocol
        if _BUCKETED.isdisjoint([protocols] if isinstance(protocols, str) else protocols):
            self._files.makedirs(path, exist_ok=True)

    def _stripped(self, path: str) -> str:
        return str(self._files._strip_protocol(path)).rstrip("/")

    @staticmethod
    def _version(info: Mapping[str, Any]) -> str:
        """What changes when a file is replaced, from what fsspec reports of it."""
        version = next((str(info[name]) for name in _VERSIONS if info.get(name)), "")
        return version if '"' in version else f"{version}-{info.get('size')}"
