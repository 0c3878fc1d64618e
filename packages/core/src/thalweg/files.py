"""Files, written durably: a path holds all of the new one or what was there before, also after
a power cut; and their checksums.

The order is always the same: the content is written beside its place and synced, then renamed, then the
folder above is synced. Only after that may what it replaces be removed. Nothing is written through a link,
and of a link itself only the link is ever removed.

Whatever changes the disk goes through :data:`disk`, so that a test can put one in its place that fails, or
ends the process, at any operation.
"""

import contextlib
import errno
import hashlib
import io
import logging
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import attrs

from thalweg import flocks
from thalweg.errors import ConfigError, ThalwegError
from thalweg.regular import opened

_CHUNK, _SMALL, _STRIDE = 4 * 2**20, 256 * 2**10, 16 * 2**20
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_REFUSED = frozenset(
    [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EACCES, errno.EPERM]
)
"""What file systems answer that cannot sync a folder, or do not let it be opened for that."""

_log = logging.getLogger("thalweg")
_told: list[Path] = []  # once in a process

PARTIAL = ".part"
"""What the hidden name ends in of a file or folder that is being written beside its place."""


class Disk:
    """The operations that change a disk, one method each."""

    def create(self, path: Path) -> int:
        """Open a file that must not be there, and hold it while it is open; its descriptor."""
        return held(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))

    def write(self, descriptor: int, content: memoryview) -> int:
        """Write as much as the system takes at once; how many bytes that was."""
        return os.write(descriptor, content)

    def hasten(self, descriptor: int, begin: int, size: int) -> None:
        """Let the system carry a part of a file to the disk now, without waiting for it."""
        if hasattr(os, "posix_fadvise"):
            # The system forgets pages that are on disk, and begins to write those that are not.
            os.posix_fadvise(descriptor, begin, size, os.POSIX_FADV_DONTNEED)

    def sync(self, descriptor: int) -> None:
        """Wait until a file or folder is on the disk itself."""
        os.fsync(descriptor)

    def move(self, source: Path, target: Path) -> None:
        """Rename within a file system; a file that stands at the target is replaced."""
        os.replace(source, target)  # noqa: PTH105 - Path.replace is what tests count

    def exchange(self, one: Path, other: Path) -> None:
        """Let two paths trade places at once; OSError where the system cannot."""
        import ctypes  # not with the module, which the command line's help imports

        rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # Linux has it
        if rename is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def resize(self, descriptor: int, size: int) -> None:
        """Cut a file, or lengthen it with zeros."""
        os.ftruncate(descriptor, size)

    def make_folder(self, path: Path) -> None:
        """Make a folder that must not be there."""
        path.mkdir()

    def remove(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def remove_folder(self, path: Path) -> None:
        """Remove an empty folder."""
        path.rmdir()


disk = Disk()


def held(descriptor: int) -> int:
    """The same open file or folder, held, so that nobody takes it for what a killed process has left."""
    with contextlib.suppress(OSError):  # where a file system has no locks, nothing is taken for left
        flocks.take(descriptor)
    return descriptor


@attrs.frozen
class Seal:
    """What a file was when it was written.

    Attributes:
        bytes: its size.
        sha256: its SHA-256, in hexadecimal.
    """

    bytes: int
    sha256: str


def write_new(path: Path, parts: Iterable[bytes | memoryview]) -> Seal:
    """Write a file that must not be there, and make sure that it is on disk; hashed on the way.

    Args:
        path: the file.
        parts: its content in order.

    Raises:
        OSError: if it cannot be written; what there is of it stays.
    """
    digest, size, hastened = hashlib.sha256(), 0, 0
    with _created(path) as file:
        for part in parts:
            whole = memoryview(part).cast("B")
            for begin in range(0, len(whole), _CHUNK):
                chunk = whole[begin : begin + _CHUNK]
                size += file.write(chunk)
                digest.update(chunk)
                if size - hastened >= _STRIDE:
                    # The disk works while the rest is hashed, instead of all at once in the end.
                    disk.hasten(file.fileno(), hastened, size - hastened)
                    hastened = size
    return Seal(size, digest.hexdigest())


def write_bytes(path: Path, content: bytes) -> Seal:
    """Write a small file durably.

    Raises:
        ThalwegError: if it cannot be written.
    """
    with replacing(path) as part:
        return write_new(part, [content])


@contextlib.contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Write a large file durably: it takes its place when the block ends well, and leaves nothing otherwise.

    Args:
        path: the file; its folder must be there.

    Yields:
        The file, open for writing, seekable.

    Raises:
        ThalwegError: if it cannot be written.
    """
    with replacing(path) as part, _created(part) as file:
        yield cast(BinaryIO, file)


@contextlib.contextmanager
def replacing(path: Path, remove: Callable[[Path], None] = lambda part: disk.remove(part)) -> Iterator[Path]:
    """The name beside a file's place under which it is written, moved there when the block ends well.

    Args:
        path: the file, or a folder that is not there; the folder above must be.
        remove: takes away what there is of it otherwise.

    Yields:
        Where to write it, synced, such as by :func:`write_new`.

    Raises:
        ThalwegError: if it cannot be written.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL}")
    being_written[part] = []
    try:
        try:
            yield part
            disk.move(part, path)
        except BaseException:
            with contextlib.suppress(OSError):
                remove(part)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        for descriptor in being_written.pop(part):
            os.close(descriptor)


being_written: dict[Path, list[int]] = {}
"""Beside their place: the open files and folders that hold them until they are there."""


@contextlib.contextmanager
def _created(path: Path) -> Iterator[io.BufferedRandom]:
    """A new file, on disk once the block ends well. Small writes are put together, as each has its price."""
    descriptor = disk.create(path)
    if path in being_written:
        being_written[path].append(os.dup(descriptor))
    with io.BufferedRandom(_DiskFile(descriptor, "r+b"), _SMALL) as file:
        yield file
        file.flush()
        disk.sync(descriptor)


class _DiskFile(io.FileIO):
    """An open file whose writes go through :data:`disk`."""

    def write(self, content: Any, /) -> int:
        return disk.write(self.fileno(), memoryview(content).cast("B"))

    def truncate(self, size: int | None = None, /) -> int:
        size = self.tell() if size is None else size
        disk.resize(self.fileno(), size)
        return size


def open_own(path: Path) -> BinaryIO:
    """A file that this program keeps and changes in place, such as a log, made if it is not there; as
    :func:`own_descriptor`, for reading and writing."""
    return cast(BinaryIO, io.BufferedRandom(_DiskFile(own_descriptor(path), "r+b")))


def own_descriptor(path: Path, *, create: bool = True) -> int:
    """Open a file that this program keeps, such as a lock; never through a link.

    Args:
        path: the file; a regular one, or none.
        create: make it if it is not there.

    Raises:
        ConfigError: if a link or anything but a regular file has its name.
        OSError: if it cannot be opened.
    """
    irregular = ConfigError(f"{path} is no regular file; remove it, and it is made anew")
    # Through no link, and without waiting for whoever may write into a FIFO of this name.
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | (os.O_CREAT if create else 0)
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP or path.is_symlink():
            raise link_refused(path) from error
        if error.errno in (errno.EISDIR, errno.ENXIO):
            raise irregular from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise irregular
    return descriptor


def link_refused(path: Path) -> ConfigError:
    """What is raised where a file would be written through a link."""
    return ConfigError(
        f"{path} is a link, and nothing is written through links; remove it, or put what it points to in its "
        f"place"
    )


def unwritable(path: Path, error: OSError) -> ThalwegError:
    """What is raised where a file or folder cannot be written."""
    return ThalwegError(f"{path} cannot be written ({error.strerror or error}); choose another place")


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk itself.

    Where the file system refuses that for any folder, as CIFS and some of FUSE do, it is reported once, and
    no error: names reach the disk when the system sends them.

    Raises:
        OSError: if they cannot be written.
    """
    try:
        _sync(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        if not _told:
            _told.append(path)
            _log.warning(
                "%s is on a file system that does not sync folders (%s): what was written last may be gone "
                "after a power cut, and the same command then makes it again",
                path,
                error.strerror,
            )


def sync_file(path: Path) -> None:
    """Wait until a file that others have written is on the disk itself; never through a link.

    Raises:
        OSError: if it cannot be.
    """
    try:
        _sync(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        _sync(path, os.O_RDWR | os.O_NOFOLLOW)  # some ask for that


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        disk.sync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: if it cannot be read, or is no regular file.
    """
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
