"""Bytes of a file as they arrive, and what is known of it without them."""

import contextlib
import re
from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import Any

import attrs

from thalweg.storage.failures import TransientError

PIECE = 1 << 20
"""Bytes that are handed on at a time."""

Closed = Callable[[str], bool]
"""Says of which names what is below is not requested."""


@attrs.frozen
class StoredEntry:
    """A file or folder.

    Attributes:
        folder: it is a folder.
        size: bytes of a file; None if the server does not say.
        version: changes when a file is replaced; empty if the server says nothing that would.
    """

    folder: bool
    size: int | None = None
    version: str = ""


@attrs.frozen
class ByteStream:
    """An answer that is being read.

    Attributes:
        start: the first byte that it holds.
        total: bytes of the whole file; None if the server does not say.
        version: as that of :class:`StoredEntry`.
        pieces: the bytes from ``start`` on, at least to the end that was requested unless cut short.
    """

    start: int
    total: int | None
    version: str
    pieces: Iterator[bytes]


@contextlib.contextmanager
def looped(
    loop: Any, read: Callable[[int], Awaitable[bytes]], close: Callable[[], Any]
) -> Iterator[Iterator[bytes]]:
    """The bytes of an answer that arrives in an event loop, for another thread, a MiB at a time.

    Args:
        loop: that runs in a thread of its own.
        read: up to so many bytes, none at the end.
        close: gives the connection up, read to its end or not; called in the loop.
    """
    pieces = _pieces(loop, read)
    try:
        yield pieces
    finally:
        pieces.close()
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the connection with it
            loop.call_soon_threadsafe(close)


def _pieces(loop: Any, read: Callable[[int], Awaitable[bytes]]) -> Generator[bytes, None, None]:
    import asyncio  # not with the module, which the command line's help imports

    ahead = asyncio.run_coroutine_threadsafe(_gathered(read), loop)
    try:
        while piece := ahead.result():
            # The next one arrives while this one is used.
            ahead = asyncio.run_coroutine_threadsafe(_gathered(read), loop)
            yield piece
    finally:
        ahead.cancel()


async def _gathered(read: Callable[[int], Awaitable[bytes]]) -> bytes:
    # Handing a piece to another thread costs as much as many small reads.
    parts: list[bytes] = []
    missing = PIECE
    try:
        while missing and (part := await read(missing)):
            parts.append(part)
            missing -= len(part)
    except Exception:
        if not parts:
            raise
        # What has arrived counts; reading on fails again.
    return b"".join(parts)


def range_header(start: int, stop: int | None) -> dict[str, str]:
    """The header that asks for bytes from start up to, not including, stop."""
    if start == 0 and stop is None:
        return {}
    return {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"}


def answered(
    start: int, content_range: str | None, length: int | None, version: str, pieces: Iterator[bytes]
) -> ByteStream:
    """The answer to a request from ``start`` on, by its headers.

    Raises:
        TransientError: it holds another range.
    """
    if not content_range:
        return ByteStream(0, length, version, pieces)  # all of it: some servers know no ranges
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", content_range.strip())
    if match is None or int(match[1]) != start:
        raise TransientError(f"the server answered with another range ({content_range[:60]})")
    return ByteStream(start, None if match[3] == "*" else int(match[3]), version, pieces)
