"""Moving bytes, with everything that may go wrong on the way."""

import contextlib
from collections.abc import Callable

from thalweg.errors import DataError, ThalwegError
from thalweg.storage.failures import TransientError
from thalweg.storage.retrying import Attempts
from thalweg.storage.stores import Store
from thalweg.storage.streams import Stream


class Transfer:
    """Bytes of one version of a file, delivered once and in order.

    A request that fails is followed by one for what is still missing.

    Args:
        store: where the file lies.
        path: as the store takes it.
        name: for messages.
        start: the first byte.
        stop: the end, not included; None for the file's.
        version: which version it must be; empty for that of the first answer.
        size: bytes that the whole file must have, if known.
    """

    def __init__(
        self,
        store: Store,
        path: str,
        name: str,
        *,
        start: int = 0,
        stop: int | None = None,
        version: str = "",
        size: int | None = None,
    ) -> None:
        self._store, self._path, self._name = store, path, name
        self._start, self._at, self._stop = start, start, stop
        self._version, self._size = version, size

    def run(self, sink: Callable[[bytes], object]) -> None:
        """Deliver the bytes.

        Args:
            sink: takes them; a :class:`thalweg.ThalwegError` of its own ends it.

        Raises:
            DataError: the file is missing, may not be read, is shorter than asked for, was replaced, or
                could not be read in all attempts.
        """
        attempts = Attempts(self._name)
        while True:
            try:
                with contextlib.closing(self._store.open(self._path, self._at, self._stop)) as stream:
                    self._deliver(stream, sink, attempts)
                return
            except ThalwegError:
                raise
            except Exception as error:
                failure = error
            attempts.failed(failure)

    def _deliver(self, stream: Stream, sink: Callable[[bytes], object], attempts: Attempts) -> None:
        end = self._checked_end(stream)
        position = stream.span.start
        for piece in stream.pieces():
            before, position = position, position + len(piece)
            wanted = piece[max(0, self._at - before) : None if end is None else max(0, end - before)]
            if wanted:
                sink(wanted)
                self._at += len(wanted)
                attempts.progressed()
            if end is not None and position > end:
                break  # The server sends more than was asked for.
        if end is not None and self._at < end:
            raise TransientError(f"it ended after {self._at - self._start:,} of {end - self._start:,} bytes")

    def _checked_end(self, stream: Stream) -> int | None:
        span = stream.span
        if self._version and span.version and span.version != self._version:
            raise DataError(f"{self._name} was replaced while it was read; begin anew with the new one")
        self._version = self._version or span.version
        if self._size is not None and span.total is not None and span.total != self._size:
            raise DataError(f"{self._name} has {span.total:,} bytes where {self._size:,} are expected")
        end = span.total if self._stop is None else self._stop
        if end is not None and span.total is not None and end > span.total:
            raise DataError(f"{self._name} has only {span.total:,} bytes, up to {end:,} were asked for")
        return end
