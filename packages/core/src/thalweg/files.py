"""Files: written so that a path holds all of the new one or what was there before; and their checksums.

Whatever changes the disk goes through :data:`disk`, so that a test can put one in its place that fails, or
ends the process, at any operation.
"""

import contextlib
import ctypes
import errno
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

from thalweg.errors import ThalwegError

_CHUNK, _SMALL, _STRIDE = 4 * 2**20, 256 * 2**10, 16 * 2**20
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


class Disk:
    """The operations that change a disk, one method each."""

    def create(self, path: Path) -> int:
        """Open a file that must not be there; its descriptor."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)

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
        rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # Linux has it
        if rename is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

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
    descriptor = disk.create(path)
    try:
        for chunk in _chunks(parts):
            size += len(chunk)
            digest.update(chunk)
            while chunk:
                chunk = chunk[disk.write(descriptor, chunk) :]
            if size - hastened >= _STRIDE:
                # The disk works while the rest is hashed, instead of all at once in the end.
                disk.hasten(descriptor, hastened, size - hastened)
                hastened = size
        disk.sync(descriptor)
    finally:
        os.close(descriptor)
    return Seal(size, digest.hexdigest())


def _chunks(parts: Iterable[bytes | memoryview]) -> Iterator[memoryview]:
    """The parts in large pieces: small ones are put together, since each write has its price."""
    small = bytearray()
    for part in parts:
        if memoryview(part).nbytes < _SMALL:
            small += part
            if len(small) < _SMALL:
                continue
        if small:
            yield memoryview(bytes(small))
            small.clear()
        if memoryview(part).nbytes >= _SMALL:
            whole = memoryview(part).cast("B")
            yield from (whole[begin : begin + _CHUNK] for begin in range(0, len(whole), _CHUNK))
    if small:
        yield memoryview(bytes(small))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file beside its place, make sure that it is on disk, then move it there.

    Raises:
        ThalwegError: if it cannot be written.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        try:
            write_new(part, [content])
            disk.move(part, path)
        except BaseException:
            with contextlib.suppress(OSError):
                disk.remove(part)
            raise
        sync_folder(path.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ThalwegError(f"{path} cannot be written ({reason}); choose another place") from error


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk itself."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        disk.sync(descriptor)
    finally:
        os.close(descriptor)


def remove_tree(path: Path) -> None:
    """Remove a folder with all that is in it; links are removed, not followed."""
    for child in path.iterdir():
        if child.is_dir() and not child.is_symlink():
            remove_tree(child)
        else:
            disk.remove(child)
    disk.remove_folder(path)


def replace_folder(path: Path, fresh: Path) -> Path | None:
    """Move a folder that is on disk to its place.

    Args:
        path: where it goes; may hold a former one.
        fresh: a folder on the same file system.

    Returns:
        Where the former one is now, for the caller to remove; None if there was none.
    """
    if not path.exists():
        disk.move(fresh, path)
        sync_folder(path.parent)
        return None
    try:
        disk.exchange(fresh, path)
        former = fresh
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
            raise
        # This file system cannot trade places, so the former one steps aside for a moment.
        former = fresh.with_name(f"{fresh.name}.former")
        disk.move(path, former)
        try:
            disk.move(fresh, path)
        except BaseException:
            disk.move(former, path)
            raise
    sync_folder(path.parent)
    return former


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
