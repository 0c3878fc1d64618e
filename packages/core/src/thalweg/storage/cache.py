"""Remote files kept on local disk, for all processes of a machine together."""

import contextlib
import hashlib
import logging
import os
import re
import tempfile
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path, PosixPath
from typing import BinaryIO

import attrs

from thalweg.errors import ConfigError, DataError, ThalwegError
from thalweg.files import open_own
from thalweg.storage.location import Location
from thalweg.storage.locks import Lock, holding, locked

LIMIT = 64 << 30
"""Bytes that the default cache holds unless another limit is requested."""

_SHA256 = re.compile(r"[0-9a-f]{64}")

_log = logging.getLogger("thalweg")


class CachedPath(PosixPath):
    """A path in a cache. While this object lives, no process evicts its file; who has opened the file may
    let go of it, since what is open stays readable."""


@attrs.define
class Cache:
    """A bounded folder of files by their SHA-256, safe for any number of processes and threads.

    What was fetched is what was requested: contents are verified on arrival and once more by each process
    that uses them. What is kept under a key is known by that alone. A process that is killed leaves no lock
    behind, and what it had begun is cleared by the next one that fetches.

    Attributes:
        folder: where; made when needed.
        limit_bytes: what all files together may take. What is in use is kept even if it takes more.
    """

    folder: Path
    limit_bytes: int = attrs.field(default=LIMIT, validator=attrs.validators.ge(1))
    _verified: set[tuple[int, int]] = attrs.field(factory=set, init=False, repr=False)

    def fetch(self, location: Location, *, sha256: str, size: int) -> Path:
        """The file on local disk, downloaded by one process if it is not there.

        Args:
            location: where it is downloaded from.
            sha256: what it must be, in hexadecimal.
            size: its bytes.

        Raises:
            DataError: it cannot be downloaded, or is not what it must be; the cache stays as it was.
            ConfigError: it is larger than the limit.
            ThalwegError: the folder cannot be written.
        """
        name = sha256.lower()
        if not _SHA256.fullmatch(name):
            raise DataError(f"{location} is to have the SHA-256 '{sha256}', which is none")
        path = self._found_or_made(
            name,
            lambda descriptor: self._is_whole(descriptor, name, size),
            lambda file: location.copy_into(file, sha256=name, size=size),
            what=str(location),
            size=size,
        )
        status = path.stat()
        self._verified.add((status.st_dev, status.st_ino))
        return path

    def keep(
        self, key: str, make: Callable[[BinaryIO], None], *, what: str, size: int | None = None
    ) -> CachedPath:
        """A file that no checksum is known of, made by one process if it is not there.

        Args:
            key: what it is; another for other contents.
            make: writes it into an open file.
            what: what it is called in errors.
            size: its bytes; None where that is not known before it is made.

        Raises:
            ConfigError: it is larger than the limit.
            ThalwegError: the folder cannot be written.
        """
        return self._found_or_made(
            hashlib.sha256(key.encode()).hexdigest(),
            lambda descriptor: size is None or os.fstat(descriptor).st_size == size,
            make,
            what=what,
            size=size,
        )

    def _found_or_made(
        self,
        name: str,
        is_whole: Callable[[int], bool],
        make: Callable[[BinaryIO], None],
        *,
        what: str,
        size: int | None,
    ) -> CachedPath:
        self._check_fits(what, size or 0)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            found = self._leased(name, is_whole)
            if found is not None:
                return found
            lock = self.folder / f"{name}.lock"
            with holding(lock):
                try:
                    # Another process may have been quicker.
                    return self._leased(name, is_whole) or self._made(name, make, what, size)
                finally:
                    lock.unlink(missing_ok=True)
        except OSError as error:
            reason = error.strerror or error
            raise ThalwegError(
                f"the cache {self.folder} cannot be used ({reason}); choose another"
            ) from error

    def _check_fits(self, what: str, size: int) -> None:
        if size > self.limit_bytes:
            raise ConfigError(
                f"{what} has {size:,} bytes, more than the cache may hold; raise its limit of "
                f"{self.limit_bytes:,}"
            )

    def _leased(self, name: str, is_whole: Callable[[int], bool]) -> CachedPath | None:
        """The file if it is there and whole, marked as used now."""
        path = self.folder / name
        lease = locked(path, shared=True)
        if lease is None:
            return None
        try:
            if is_whole(lease.descriptor):
                os.utime(lease.descriptor)
                return _held(path, lease)
        except BaseException:
            lease.release()
            raise
        _log.warning("%s in the cache is damaged; fetching it anew", path)
        lease.release()
        return None

    def _is_whole(self, descriptor: int, name: str, size: int) -> bool:
        status = os.fstat(descriptor)
        identity = (status.st_dev, status.st_ino)
        if status.st_size != size:
            return False
        if identity not in self._verified:
            with open(descriptor, "rb", closefd=False) as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != name:
                    return False
            self._verified.add(identity)
        return True

    def _made(self, name: str, make: Callable[[BinaryIO], None], what: str, size: int | None) -> CachedPath:
        part, path = self.folder / f"{name}.part", self.folder / name
        try:
            with open_own(part) as file:
                self._reserve(file, part, size or 0)  # counts from now on, for those who make room meanwhile
                make(file)
                if size is None:
                    file.flush()
                    self._check_fits(what, file.tell())
                    self._reserve(file, part, file.tell())
            # Before the file has its name, so that nobody evicts it before it is used.
            lease = locked(part, shared=True)
            if lease is None:
                raise FileNotFoundError(2, "somebody took it away", str(part))
            lease.rename(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        return _held(path, lease)

    def _reserve(self, file: BinaryIO, part: Path, size: int) -> None:
        with holding(self.folder / "space.lock"):
            self._make_room(size, but=part)
            file.truncate(size)

    def _make_room(self, size: int, but: Path) -> None:
        """Clear what killed processes left, then evict the least recently used; space.lock is held."""
        kept = []
        total = size
        for path in sorted(self.folder.iterdir()):
            if path == but or self._is_leftover(path):
                continue
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                total += status.st_size
                if _SHA256.fullmatch(path.name):
                    kept.append((status.st_mtime_ns, path, status.st_size))
        for _, path, bytes_ in sorted(kept):
            if total <= self.limit_bytes:
                return
            lock = locked(path, wait=False)
            if lock is not None:  # otherwise it is in use
                path.unlink(missing_ok=True)
                lock.release()
                total -= bytes_
        if total > self.limit_bytes:
            _log.warning(
                "the cache %s holds %s bytes, more than its limit, since all of it is in use",
                self.folder,
                total,
            )

    def _is_leftover(self, path: Path) -> bool:
        """Remove a download or a lock that nobody holds."""
        if path.suffix not in (".part", ".lock") or not _SHA256.fullmatch(path.stem):
            return False
        lock_path = path.with_suffix(".lock")
        lock = locked(lock_path, wait=False, create=True)
        if lock is None:
            return False
        path.with_suffix(".part").unlink(missing_ok=True)
        lock_path.unlink(missing_ok=True)
        lock.release()
        return True


def cache_folder() -> Path:
    """The folder of the user's cache: ``$XDG_CACHE_HOME/thalweg``, or ``~/.cache/thalweg``."""
    above = os.environ.get("XDG_CACHE_HOME", "")
    # As the specification has it, a relative one is ignored.
    folder = Path(above) if Path(above).is_absolute() else Path.home() / ".cache"
    return folder / "thalweg"


def folder_for(location: Location, purpose: str) -> Path:
    """The folder of the user's cache in which what belongs to a location is kept for a purpose."""
    return cache_folder() / purpose / hashlib.sha256(str(location).encode()).hexdigest()[:24]


def default_cache(limit_bytes: int = LIMIT) -> Cache:
    """The user's cache of files."""
    return Cache(cache_folder(), limit_bytes)


@contextlib.contextmanager
def local_copy(place: Location, expected: str = "") -> Iterator[Path]:
    """A file on this machine, for as long as the context lasts; one behind a URL is brought.

    Args:
        place: where it is stored.
        expected: its SHA-256 where that is known, by which it is kept in the cache.

    Raises:
        DataError: it cannot be read.
    """
    if place.local is not None:
        yield place.local
    elif _SHA256.fullmatch(expected):
        yield default_cache().fetch(place, sha256=expected, size=place.size())
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / place.name
            place.download(path)
            yield path


def _held(path: Path, lease: Lock) -> CachedPath:
    held = CachedPath(path)
    weakref.finalize(held, lease.release)
    return held
