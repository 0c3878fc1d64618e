"""A file that is being fetched: what has arrived of it, beside its place, and of which version."""

import contextlib
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from thalweg import files
from thalweg.documents import read_document, write_document
from thalweg.errors import DataError
from thalweg.files import own_descriptor, sync_folder
from thalweg.regular import opened

if TYPE_CHECKING:
    from hashlib import _Hash

_PIECE = 1 << 20


@attrs.frozen
class Version:
    """What is stored at a URL.

    Attributes:
        url: without secrets.
        version: its ETag or whatever else changes when it is replaced; empty if the server states nothing.
        bytes: of all of it; None if the server does not say.
    """

    url: str
    version: str
    bytes: int | None


class PartialFile:
    """What has arrived of a file. It is open while it is used as a context manager.

    Args:
        path: the file that is to be; its folder must be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f".{path.name}.partial")
        self._note = path.with_name(f".{path.name}.version")
        self._descriptor = -1

    def __enter__(self) -> "PartialFile":
        self._descriptor = own_descriptor(self._part)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def begin(self, version: Version, *, resumable: bool) -> "tuple[int, _Hash]":
        """Keep what has arrived of this version, or nothing if there is another.

        Args:
            version: what the server has now.
            resumable: whether what is fetched can be told from a mixture of two versions.

        Returns:
            Bytes that are there, and their SHA-256 so far.

        Raises:
            OSError: the file cannot be written.
            ThalwegError: the same.
        """
        size = os.fstat(self._descriptor).st_size
        same = resumable and self._noted() == attrs.asdict(version)
        if not same or size > (size if version.bytes is None else version.bytes):
            files.disk.resize(self._descriptor, 0)
            size = 0
            write_document(self._note, attrs.asdict(version))
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        digest = hashlib.sha256()
        while piece := os.read(self._descriptor, _PIECE):
            digest.update(piece)
        return size, digest

    def write(self, piece: bytes) -> None:
        """Put more at its end.

        Raises:
            OSError: it cannot be written; what fits stays.
        """
        left = memoryview(piece)
        while left:
            left = left[files.disk.write(self._descriptor, left) :]

    def finish(self) -> None:
        """Move it to its place, on the disk itself.

        Raises:
            OSError: that is not possible.
        """
        files.disk.sync(self._descriptor)
        files.disk.move(self._part, self._path)
        sync_folder(self._path.parent)
        self._forget()

    def discard(self) -> None:
        """Remove what has arrived."""
        with contextlib.suppress(OSError):
            files.disk.remove(self._part)
        self._forget()

    def start(self, size: int) -> bytes:
        """Its first bytes."""
        with opened(self._part) as file:
            return file.read(size)

    def _forget(self) -> None:
        with contextlib.suppress(OSError):
            files.disk.remove(self._note)

    def _noted(self) -> dict[str, object]:
        try:
            return read_document(self._note, "a note of what is being fetched", "remove it")
        except (OSError, DataError):
            return {}
