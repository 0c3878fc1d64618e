"""Folders: written, replaced and removed as files are, whole and durably, never through a link."""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from thalweg import files, flocks
from thalweg.errors import ThalwegError
from thalweg.files import PARTIAL, link_refused, sync_folder


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Make a folder durably: it takes its place when the block ends well, and leaves nothing otherwise.

    Args:
        path: the folder, which must not be there; the one above must be.

    Yields:
        An empty folder to fill. Its files need not be synced: that is done for all of them together.

    Raises:
        ThalwegError: if it cannot be written.
    """
    with files.replacing(path, remove_tree) as part:
        files.disk.make_folder(part)
        opened = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        files.being_written[part].append(files.held(opened))
        yield part
        sync_tree(part)


def make_folders(path: Path) -> None:
    """Make a folder, and those above it that are missing, so that their names are on the disk itself.

    Raises:
        OSError: if one cannot be made, or is something else.
    """
    missing = [one for one in (path, *path.parents) if not one.exists()]
    for one in reversed(missing):
        try:
            files.disk.make_folder(one)
        except FileExistsError:
            if not one.is_dir():
                raise
        sync_folder(one.parent)
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


def leftovers(path: Path) -> list[Path]:
    """What killed writes of a file or folder have left beside its place; not what one is writing now."""
    start, length = f".{path.name}.", len(path.name) + 10 + len(PARTIAL)
    return [
        other
        for other in path.parent.iterdir()
        if other.name.startswith(start)
        and other.name.endswith(PARTIAL)
        and len(other.name) == length
        and not _is_held(other)
    ]


def clear_leftovers(*paths: Path) -> None:
    """Remove them, of files and folders that are about to be written.

    Raises:
        OSError: if that is not possible.
    """
    for path in paths:
        for remains in leftovers(path) if path.parent.is_dir() else ():
            remove_tree(remains)


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return error.errno not in (errno.ELOOP, errno.ENOENT)  # a link, or gone: nobody writes it
    try:
        return not flocks.take(descriptor)
    except OSError:
        return True
    finally:
        os.close(descriptor)


def refuse_links(folder: Path, *names: str) -> None:
    """Make sure that what is written below a folder goes through no link.

    Args:
        folder: may be a link itself, as its user has named it.
        names: paths relative to it, each part of which is looked at.

    Raises:
        ConfigError: naming the link.
    """
    for name in names:
        place = folder
        for part in Path(name).parts:
            place = place / part
            if place.is_symlink():
                raise link_refused(place)


def sync_tree(folder: Path) -> None:
    """Wait until all files below a folder, and their names, are on the disk itself."""
    for child in sorted(folder.iterdir()):
        if child.is_symlink():
            continue
        if child.is_dir():
            sync_tree(child)
        else:
            files.sync_file(child)
    sync_folder(folder)


def remove_tree(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; links are removed, not followed."""
    if path.is_symlink() or not path.is_dir():
        files.disk.remove(path)
        return
    for child in path.iterdir():
        remove_tree(child)
    files.disk.remove_folder(path)


def replace_folder(path: Path, fresh: Path) -> Path | None:
    """Move a folder that is on disk to its place.

    Args:
        path: where it goes; may hold a former one, or a link to one.
        fresh: a folder on the same file system.

    Returns:
        Where the former one, or the link, is now, for the caller to remove; None if there was none.
    """
    if not os.path.lexists(path):
        files.disk.move(fresh, path)
        sync_folder(path.parent)
        return None
    try:
        files.disk.exchange(fresh, path)
        former = fresh
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
            raise
        # This file system cannot trade places, so the former one steps aside for a moment.
        former = fresh.with_name(f"{fresh.name}.former")
        files.disk.move(path, former)
        try:
            files.disk.move(fresh, path)
        except BaseException:
            files.disk.move(former, path)
            raise
    sync_folder(path.parent)
    return former


def check_writable(*paths: Path) -> None:
    """Raise if files cannot be written, before anything is computed for them; their folders are made.

    What killed writes of the same files have left beside them is removed.

    Raises:
        ThalwegError: naming the first.
    """
    for path in paths:
        try:
            make_folders(path.parent)
            clear_leftovers(path)
            # Under such a name it is written, which may be too long where the path itself is not.
            probe = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL}")
            os.close(files.disk.create(probe))
            files.disk.remove(probe)
        except OSError as error:
            raise ThalwegError(
                f"cannot write {path}: {error.strerror or error}; choose a place open to writing"
            ) from error


def check_room(folder: Path, needed: int, option: str) -> None:
    """Raise if a folder's disk has less room than what is going to be written there, before any work.

    Args:
        folder: where; not there yet, perhaps. What is in it counts as written.
        needed: bytes in all.
        option: what names another place, for the message.

    Raises:
        ThalwegError: saying how much is missing.
    """
    place = next((one for one in (folder, *folder.parents) if one.is_dir()), None)
    try:
        free = shutil.disk_usage("." if place is None else place).free
        there = sum(path.stat().st_size for path in folder.glob("*")) if place == folder else 0
    except OSError:
        return  # who writes there will say what is wrong
    if needed > free + there:
        sizes = [f"{size / 2**30:.1f} GiB" for size in (needed, free + there)]
        raise ThalwegError(
            f"about {sizes[0]} are going to be written to {folder.parent}, and {sizes[1]} are free there; "
            f"make room, or name another place by {option}"
        )
