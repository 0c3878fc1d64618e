"""A file or folder anywhere."""

import hashlib
import os
import posixpath
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import attrs

from thalweg.errors import DataError, ThalwegError
from thalweg.files import whole
from thalweg.folders import make_folders
from thalweg.storage.failures import MissingError
from thalweg.storage.options import options_for
from thalweg.storage.redaction import redacted
from thalweg.storage.retrying import retried, transferred
from thalweg.storage.stores import store_for
from thalweg.storage.streams import Closed, StoredEntry
from thalweg.storage.urls import Address, address_of

if TYPE_CHECKING:
    from thalweg.storage.stores import Store

T = TypeVar("T")

LARGEST_READ = 2**31
"""Bytes that are read into memory at once unless another limit is given."""


class Location:
    """A file or folder: a path, a URL of ``file``, ``memory``, ``s3``, ``gs``, ``http(s)``, ``hf`` or a
    protocol that the user has added, or ``weights:NAME`` for published weights that were fetched. It is the
    gate through which all goes that a run, model or recipe names: see :mod:`thalweg.storage.gate`.

    It is what is written as text without credentials: ``str`` and ``repr`` mask them. All methods that
    reach out try again where that may help, and raise :class:`thalweg.DataError` in one sentence.

    Args:
        url: the URL, path or name. User info of ``s3`` URLs is key and secret.
        options: storage options. They go before those of the environment variable
            ``THALWEG_STORAGE_OPTIONS`` that are for its host or bucket, and these before what the backend
            finds by itself.

    Raises:
        ConfigError: the protocol or an option is not taken, or the URL or the environment's options cannot
            be read, or there are no weights of the name.
        DataError: the weights are not here.
    """

    def __init__(self, url: "str | os.PathLike[str]", options: Mapping[str, Any] | None = None) -> None:
        self._set(address_of(url), dict(options or {}))

    def _set(self, address: Address, given: dict[str, Any]) -> None:
        self._address, self._given = address, given
        self._options = options_for(address.scheme, address.authority, given, address.options)

    def _at(self, address: Address) -> "Location":
        there = object.__new__(Location)
        there._address, there._given, there._options = address, self._given, self._options
        return there

    def __getstate__(self) -> tuple[Address, dict[str, Any]]:
        return self._address, self._given

    def __setstate__(self, state: tuple[Address, dict[str, Any]]) -> None:
        self._set(*state)  # anew, so that the secrets are known where it arrives

    def __str__(self) -> str:
        return redacted(self._address.url)

    def __repr__(self) -> str:
        return f"Location({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Location):
            return NotImplemented
        return self._address == other._address and self._options == other._options

    def __hash__(self) -> int:
        return hash(self._address.url)

    def __truediv__(self, name: str) -> "Location":
        """What is below it: one or several parts of a path, never out of the folder.

        Raises:
            DataError: the name leads out of it.
        """
        return self._at(self._address.below(name))

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self._address.name

    @property
    def suffix(self) -> str:
        """What follows the last dot of the name, with it."""
        return posixpath.splitext(self.name)[1]

    @property
    def parent(self) -> "Location | None":
        """The folder that it is in; None of what has none, or a query of its own."""
        folder, slash, _ = self._address.path.rpartition("/")
        if self._address.scheme == "file":
            return self._at(attrs.evolve(self._address, path=folder or slash or "."))
        return (
            None if self._address.query or not folder else self._at(attrs.evolve(self._address, path=folder))
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the URL, its query and all, to know by what is kept of it; not of how it is accessed."""
        return hashlib.sha256(self._address.url.encode(errors="surrogatepass")).hexdigest()

    @property
    def local(self) -> Path | None:
        """The path, if it is one."""
        return Path(self._address.path) if self._address.scheme == "file" else None

    def exists(self) -> bool:
        """Whether a file or folder exists there."""
        try:
            self._entry()
        except MissingError:
            return self._has_children() if self._is_web() else False
        return True

    def is_dir(self) -> bool:
        """Whether it is a folder: on an object store, whether anything exists below; on the web, whether a
        page links to anything below."""
        if self._is_web():
            return self._has_children()
        try:
            return self._entry().folder
        except MissingError:
            return False

    def size(self) -> int:
        """Bytes of the file.

        Raises:
            DataError: it is a folder, or its server does not state it.
        """
        size = self._file().size
        if size is None:
            raise DataError(f"{self}: the server does not state its size")
        return size

    def about(self) -> StoredEntry:
        """Size and version of the file, from one request.

        Raises:
            DataError: it is missing, may not be read, or is a folder.
        """
        return self._file()

    def version(self) -> str:
        """What changes when the file is replaced: its ETag, or when it was modified, and its size."""
        return self._file().version

    def pinned(self) -> "Location":
        """The same place at the commit that its branch or tag has now, on the Hub; anywhere else, itself.

        Raises:
            MissingError: there is no such repository or revision, or none that may be read.
        """
        return self._at(address_of(self._call(lambda store, path: store.pinned(path))))

    def children(self) -> list[str]:
        """Names of what is directly in the folder, sorted.

        Raises:
            MissingError: there is none.
        """
        return sorted(self._call(lambda store, path: store.children(path)))

    def find(self, suffixes: tuple[str, ...] = (), closed: Closed = lambda _: False) -> list["Location"]:
        """All files below the folder, sorted by their paths.

        Args:
            suffixes: which ones, such as ``(".jpg", ".png")``, in small letters; none for all.
            closed: which names of files and folders are not asked for. On a disk such a folder is given
                itself and not looked into, so that it need not be readable.

        Raises:
            MissingError: there is no such folder.
            DataError: links in it lead nowhere, or to a folder above.
        """
        names = self._call(lambda store, path: store.find(path, closed))
        wanted = (name for name in names if not suffixes or name.lower().endswith(suffixes))
        return [self / name for name in sorted(wanted)]

    def relative(self, to: "Location") -> str:
        """The path from a folder above to here.

        Raises:
            DataError: that folder is not above.
        """
        mine, theirs = self._address, to._address
        above = f"{theirs.path.rstrip('/')}/" if theirs.path != "." else ""
        if mine.scheme != theirs.scheme or not mine.path.startswith(above):
            raise DataError(f"{self} is not in {to}")
        return mine.path.removeprefix(above)

    def read(
        self,
        start: int | None = None,
        stop: int | None = None,
        *,
        version: str = "",
        limit: int = LARGEST_READ,
    ) -> bytes:
        """The file's bytes, all of them or those from start up to, not including, stop.

        Args:
            start: the first byte, 0 by default.
            stop: where it ends, by default with the file.
            version: raise if it is another one, as :meth:`version` returns it.
            limit: bytes; of more nothing is kept.

        Raises:
            DataError: it is missing, may not be read, is shorter, has more bytes than the limit, was replaced
                while it was read, or could not be read in all attempts.
        """
        first = 0 if start is None else start
        if first < 0 or (stop is not None and stop < first):
            raise ValueError(f"no range of bytes: {start} to {stop}")
        if stop is not None and stop == first:
            return b""
        if stop is not None and stop - first > limit:
            raise self._too_large(limit)
        pieces: list[bytes] = []
        kept = 0
        with closing(self._pieces(first, stop, version=version)) as arriving:
            for piece in arriving:
                kept += len(piece)
                if kept > limit:
                    raise self._too_large(limit)
                pieces.append(piece)
        return b"".join(pieces)

    def stream(
        self, start: int = 0, *, version: str = "", size: int | None = None
    ) -> Generator[bytes, None, None]:
        """The file's bytes from one on, piece by piece as they arrive.

        Args:
            start: the first byte.
            version: raise if it is another one, as :meth:`version` returns it.
            size: bytes that the whole file must have, if known.

        Raises:
            DataError: as :meth:`read`.
        """
        return self._pieces(start, None, version=version, size=size)

    def copy_into(
        self, file: BinaryIO, *, sha256: str | None = None, size: int | None = None, version: str = ""
    ) -> None:
        """Stream the whole file into an open one, and verify it.

        Args:
            file: open for writing; what it holds after an error is of no use.
            sha256: what it must be, in hexadecimal.
            size: bytes that it must have.
            version: raise if it is another one, as :meth:`version` returns it.

        Raises:
            DataError: as :meth:`read`, or it is not what it must be.
            ThalwegError: the other file cannot be written.
        """
        digest = hashlib.sha256()
        written = 0
        with closing(self._pieces(0, None, size=size, version=version)) as arriving:
            for piece in arriving:
                try:
                    file.write(piece)
                except OSError as error:
                    raise ThalwegError(
                        f"{file.name} cannot be written ({error.strerror or error})"
                    ) from error
                written += len(piece)
                if sha256 is not None:
                    digest.update(piece)
        if size is not None and written != size:
            raise DataError(f"{self} has {written:,} bytes where {size:,} are expected")
        found, wanted = digest.hexdigest(), sha256 and sha256.lower()
        if wanted is not None and found != wanted:
            raise DataError(f"{self} is damaged or another file: its SHA-256 is {found}, not {wanted}")

    def download(self, path: Path, *, sha256: str | None = None, size: int | None = None) -> None:
        """Stream the file to a path, which holds all of it or what was there before.

        Args:
            path: where to; its folder is made.
            sha256: what it must be, in hexadecimal.
            size: bytes that it must have.

        Raises:
            DataError: as :meth:`read`, or it is not what it must be.
            ThalwegError: the path cannot be written.
        """
        try:
            make_folders(path.parent)
        except OSError as error:
            raise ThalwegError(f"{path} cannot be written ({error.strerror or error})") from error
        with whole(path) as part:
            self.copy_into(part, sha256=sha256, size=size)

    def write(self, data: bytes) -> None:
        """Put a file there, whole or not at all; its folder is made.

        Raises:
            ThalwegError: it cannot be written.
        """
        self._call(lambda store, path: store.write(path, data))

    def upload(self, path: Path) -> None:
        """Put a local file there, whole or not at all; its folder is made.

        Raises:
            ThalwegError: it cannot be written.
        """
        self._call(lambda store, there: store.upload(there, path))

    def remove(self) -> None:
        """Take away the file, or the folder with all in it; nothing if there is none."""
        self._call(lambda store, path: store.remove(path))

    def makedirs(self) -> None:
        """Make the folder and those above it, where folders have to be made."""
        self._call(lambda store, path: store.makedirs(path))

    def _too_large(self, limit: int) -> DataError:
        return DataError(f"{self} has more than the {limit:,} bytes that are read of such a file; shrink it")

    def _store(self) -> "Store":
        return store_for(self._address.scheme, self._options)

    def _call(self, call: "Callable[[Store, str], T]") -> T:
        store, path = self._store(), self._address.url
        return retried(str(self), lambda: call(store, path))

    def _pieces(
        self, start: int, stop: int | None, *, version: str = "", size: int | None = None
    ) -> Generator[bytes, None, None]:
        store, path = self._store(), self._address.url
        return transferred(
            str(self), lambda at: store.open(path, at, stop), start, stop, version=version, size=size
        )

    def _entry(self) -> StoredEntry:
        return self._call(lambda store, path: store.entry(path))

    def _file(self) -> StoredEntry:
        entry = self._entry()
        if entry.folder:
            raise DataError(f"{self} is a folder, not a file")
        return entry

    def _is_web(self) -> bool:
        return self._address.scheme in ("http", "https")

    def _has_children(self) -> bool:
        try:
            return bool(self.children())
        except MissingError:
            return False
