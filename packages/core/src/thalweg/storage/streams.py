"""Bytes of a file as they arrive."""

import contextlib
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import attrs

from thalweg.storage.failures import TransientError

PIECE = 1 << 20
"""Bytes that are handed on at a time."""


@attrs.frozen
class Span:
    """Which bytes of which version an answer holds.

    Attributes:
        start: its first byte.
        total: bytes of the whole file; None if the server does not say.
        version: changes when the file is replaced; empty if the server says nothing that would.
    """

    start: int
    total: int | None
    version: str


@runtime_checkable
class Stream(Protocol):
    """An answer that is being read."""

    @property
    def span(self) -> Span:
        """Which bytes it holds."""

    def pieces(self) -> Iterator[bytes]:
        """The bytes from ``span.start`` on, at least to the end that was asked for unless cut short."""

    def close(self) -> None:
        """Let go of it, read to its end or not."""


class LoopStream:
    """A stream of an event loop, read by another thread: the next piece arrives while one is used.

    Args:
        loop: that runs in a thread of its own.
        read: up to so many bytes, none at the end.
        close: gives the connection up, called in the loop.
        span: what it holds.
    """

    def __init__(
        self,
        loop: Any,
        read: Callable[[int], Awaitable[bytes]],
        close: Callable[[], Any],
        span: Span,
    ) -> None:
        self.span = span
        self._loop, self._read, self._close = loop, read, close
        self._ahead: Any = None

    def pieces(self) -> Iterator[bytes]:
        """The bytes, a MiB at a time."""
        self._ahead = self._next()
        while piece := self._ahead.result():
            self._ahead = self._next()
            yield piece
        self._ahead = None

    def close(self) -> None:
        """Let go of it."""
        if self._ahead is not None:
            self._ahead.cancel()
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the connection with it
            self._loop.call_soon_threadsafe(self._close)

    def _next(self) -> Any:
        import asyncio  # not with the module, which the command line's help imports

        return asyncio.run_coroutine_threadsafe(_gathered(self._read), self._loop)


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


def span_of(start: int, content_range: str | None, length: int | None, version: str) -> Span:
    """What an answer to a request from ``start`` on holds, by its headers.

    Raises:
        TransientError: it holds another range.
    """
    if not content_range:
        return Span(0, length, version)  # all of it: some servers know no ranges
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", content_range.strip())
    if match is None or int(match[1]) != start:
        raise TransientError(f"the server answered with another range ({content_range[:60]})")
    return Span(start, None if match[3] == "*" else int(match[3]), version)
