"""What a tar file holds, from its headers alone; nothing is ever unpacked.

A tar file can name places outside of where it is unpacked, point at other files and stand for devices. As
members are only ever read as bytes, none of this could do harm here; a file that holds such a thing is
refused all the same, since nothing that makes data sets writes it.
"""

import tarfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

from thalweg.data.decoding import LARGEST_IMAGE
from thalweg.data.sources.names import leads_astray
from thalweg.data.sources.refusals import of_content
from thalweg.errors import DataError
from thalweg.storage import Location

_LARGEST_SIDECAR = 2**20
_NEAR, _FAR = 2**14, 2**20  # bytes read at once: from a disk, and over a network


class Member(NamedTuple):
    """A regular file within a tar file.

    Attributes:
        name: its name, such as ``n01440764/x.jpg``.
        tar: the tar file.
        version: of the tar file when its headers were read; places in another one mean nothing.
        start: where its content begins.
        size: bytes of its content.
        content: the content itself, where it was requested.
    """

    name: str
    tar: Location
    version: str
    start: int
    size: int
    content: bytes = b""

    def __str__(self) -> str:
        return f"{self.name} in {self.tar}"

    def read(self, count: int | None = None, *, limit: int = LARGEST_IMAGE) -> bytes:
        """So many of its first bytes, all by default."""
        stop = self.start + (self.size if count is None else count)
        return self.tar.read(self.start, stop, version=self.version, limit=limit)


def scan(location: Location, wanted: Callable[[str], bool]) -> list[Member]:
    """The regular files within a tar file, in its order.

    Args:
        location: the tar file, not compressed.
        wanted: which names' content is to be read at once; for small files.

    Raises:
        DataError: if it is no tar file, damaged or cut off, or holds links, devices or names that lead
            out of it.
    """
    window = _Window(location)
    try:
        # Names are UTF-8 whatever the locale; other bytes in them are kept as the system does.
        with tarfile.open(  # type: ignore[call-overload]
            fileobj=window, mode="r:", encoding="utf-8", errors="surrogateescape"
        ) as archive:
            found = [_checked(info, window, wanted) for info in _headers(archive, location)]
            end = archive.offset
    except tarfile.ReadError as error:
        other = of_content(location, window.content(0, 8))
        raise other or _damaged(location, error) from error
    except (tarfile.TarError, ValueError, IndexError, OverflowError, RecursionError) as error:
        raise _damaged(location, error) from error
    # tarfile takes a damaged header, or the file's end, for the end of the archive. That end has a mark.
    mark = window.content(end, tarfile.BLOCKSIZE)
    if len(mark) < tarfile.BLOCKSIZE or any(mark):
        raise DataError(f"{location} is damaged or cut off at byte {end}; copy it again")
    return [member for member in found if member is not None]


def _damaged(location: Location, error: Exception) -> DataError:
    return DataError(f"{location} is no tar file, damaged or cut off ({error}); copy it again")


def _headers(archive: tarfile.TarFile, location: Location) -> Iterator[tarfile.TarInfo]:
    before = -1
    while (info := archive.next()) is not None:
        archive.members = []  # type: ignore[attr-defined] # it would keep all of them
        if info.size < 0 or info.offset <= before:
            raise DataError(f"{location} holds a member of impossible size, {info.name}; copy it again")
        before = info.offset
        yield info


def _checked(info: tarfile.TarInfo, window: "_Window", wanted: Callable[[str], bool]) -> Member | None:
    location, what = window.location, _refused(info)
    if what is not None:
        raise DataError(f"{location} holds {what}, {info.name!r}; pack plain files under relative names only")
    if info.isdir():
        return None
    name = info.name.removeprefix("./")
    member = Member(name, location, window.version, info.offset_data, info.size)
    if not wanted(name):
        return member
    if info.size > _LARGEST_SIDECAR:
        raise DataError(f"{member} has {info.size} bytes, far too many; correct it")
    content = window.content(info.offset_data, info.size)
    if len(content) < info.size:
        raise DataError(f"{location} is cut off within {name}; copy it again")
    return member._replace(content=content)


def _refused(info: tarfile.TarInfo) -> str | None:
    """What is wrong with a member, if anything is."""
    if info.issym() or info.islnk():
        return "a link"
    if info.isdev():
        return "a device"
    if not (info.isdir() or info.isreg()) or info.issparse():
        return "something that is no plain file"
    return "a name that leads out of it" if leads_astray(info.name) else None


class _Window:
    """As much of a file as tarfile needs of one, read through one buffer.

    A jump beyond the buffer skips what is between, so of large members only headers are read.
    """

    def __init__(self, location: Location) -> None:
        self.location, self.version, self._size = location, location.version(), location.size()
        self._step = _FAR if location.local is None else _NEAR
        self._start, self._buffer, self._place = 0, b"", 0

    def content(self, start: int, size: int) -> bytes:
        """The bytes from ``start`` on, fewer at the end of the file."""
        stop = min(start + size, self._size)
        if start >= stop:
            return b""
        if start < self._start or stop > self._start + len(self._buffer):
            self._start = start
            end = min(max(stop, start + self._step), self._size)
            self._buffer = self.location.read(start, end, version=self.version)
        return self._buffer[start - self._start : stop - self._start]

    def read(self, size: int) -> bytes:
        """The next bytes; tarfile asks for headers alone."""
        if not 0 <= size <= _LARGEST_SIDECAR:
            raise ValueError(f"a header of {size} bytes")
        data = self.content(self._place, size)
        self._place += len(data)
        return data

    def seek(self, place: int) -> None:
        """Go to a byte."""
        self._place = place

    def tell(self) -> int:
        """The byte that is read next."""
        return self._place
