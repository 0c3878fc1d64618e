"""The local file system."""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from thalweg.errors import DataError
from thalweg.files import unwritable, whole, write_bytes
from thalweg.folders import make_folders, remove_tree
from thalweg.regular import check_regular, opened
from thalweg.storage.streams import PIECE, ByteStream, Closed, StoredEntry

MOST_FILES = 50_000_000
"""Of a folder with all below it; a whole disk is listed by mistake, or for somebody else's."""


class LocalStore:
    """Plain paths. Errors come as the system raises them."""

    @contextlib.contextmanager
    def open(self, path: str, start: int, stop: int | None) -> Iterator[ByteStream]:
        """Begin to read: bytes from start up to stop, or to the end; the version is that of the open file."""
        with opened(Path(path)) as file:
            status = os.fstat(file.fileno())
            file.seek(start)
            pieces = _pieces(file, (status.st_size if stop is None else stop) - start)
            yield ByteStream(start, status.st_size, _entry(status).version, pieces)

    def pinned(self, path: str) -> str:
        """The same: nothing keeps versions here."""
        return path

    def entry(self, path: str) -> StoredEntry:
        """What is stored there, links followed; an error if it is neither file nor folder."""
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            return StoredEntry(folder=True)
        check_regular(status, Path(path))
        return _entry(status)

    def children(self, path: str) -> list[str]:
        """Names in a folder."""
        return [one.name for one in Path(path).iterdir()]

    def find(self, path: str, closed: Closed) -> list[str]:
        """Regular files below a folder, and the names of folders in it that are not looked into.

        Linked folders are followed, each under all of its names.

        Raises:
            DataError: a link leads nowhere, or to a folder above.
        """
        if not Path(path).is_dir():
            raise FileNotFoundError(path)
        found: list[str] = []
        folders = 0
        waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
        while waiting:
            prefix, above = waiting.pop()
            folder = Path(path, prefix)
            status = folder.stat()
            itself = (status.st_dev, status.st_ino)
            if itself in above:
                raise DataError(f"{folder} is a link to a folder that contains it; take it away")
            with os.scandir(folder) as entries:
                for entry in entries:
                    name = prefix + entry.name
                    if closed(entry.name):
                        found.append(name)
                    elif _leads_nowhere(entry):
                        raise DataError(f"{entry.path} is a link that leads nowhere; fix or remove it")
                    elif entry.is_dir():
                        waiting.append((f"{name}/", above | {itself}))
                    elif entry.is_file():  # no FIFO or device, on which a read may wait for ever
                        found.append(name)
            folders += 1
            if len(found) + folders > MOST_FILES:
                raise OSError(errno.EFBIG, f"it has more than {MOST_FILES:,} files", path)
        return found

    def write(self, path: str, data: bytes) -> None:
        """Put a file there, and make its folder."""
        self.makedirs(str(Path(path).parent))
        write_bytes(Path(path), data)

    def upload(self, path: str, source: Path) -> None:
        """Copy a file there, and make its folder."""
        target = Path(path)
        self.makedirs(str(target.parent))
        with whole(target) as file, opened(source) as content:
            shutil.copyfileobj(content, file, PIECE)

    def remove(self, path: str) -> None:
        """Take it away."""
        with contextlib.suppress(FileNotFoundError):
            remove_tree(Path(path))

    def makedirs(self, path: str) -> None:
        """Make a folder and those above it."""
        try:
            make_folders(Path(path))
        except OSError as error:
            raise unwritable(Path(path), error) from error


def _pieces(file: BinaryIO, left: int) -> Iterator[bytes]:
    while piece := file.read(max(0, min(left, PIECE))):
        left -= len(piece)
        yield piece


def _entry(status: os.stat_result) -> StoredEntry:
    version = f"{status.st_ino}-{status.st_mtime_ns}-{status.st_size}"
    return StoredEntry(folder=False, size=status.st_size, version=version)


def _leads_nowhere(entry: "os.DirEntry[str]") -> bool:
    """Whether an entry of a folder is a link without an end."""
    return entry.is_symlink() and not Path(entry.path).exists()
