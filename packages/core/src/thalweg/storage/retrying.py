"""Trying again: the one place that does."""

import hashlib
import logging
import os
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from time import sleep
from typing import TypeVar

from thalweg.errors import DataError, ThalwegError
from thalweg.storage.failures import Failure, TransientError, classify
from thalweg.storage.redaction import redacted
from thalweg.storage.streams import ByteStream

T = TypeVar("T")

ATTEMPTS = 8
"""Failures in a row, without a byte in between, that end it: about a minute and a half at the longest."""

_FIRST = 0.5
_LONGEST = 30.0
_VERBS = ("does not ", "may not ", "needs ")  # with which a reason goes on with the sentence

_log = logging.getLogger("thalweg")


def retried(name: str, call: Callable[[], T]) -> T:
    """What a call returns, tried again where that may help.

    Args:
        name: of the place, for messages.
        call: raises a :class:`thalweg.ThalwegError` where nothing helps.

    Raises:
        DataError: it failed for good.
    """
    attempts = _Attempts(name)
    while True:
        try:
            return call()
        except ThalwegError:
            raise
        except Exception as error:
            failure = error
        # Out of the handler, so that what is raised does not carry the error along.
        attempts.failed(failure)


def transferred(
    name: str,
    opened: Callable[[int], AbstractContextManager[ByteStream]],
    start: int,
    stop: int | None,
    *,
    version: str = "",
    size: int | None = None,
) -> Generator[bytes, None, None]:
    """The bytes of one version of a file, once and in order.

    A request that fails is followed by one for what is still missing.

    Args:
        name: of the place, for messages.
        opened: requests what is stored from a byte on.
        start: the first byte.
        stop: the end, not included; None for the file's.
        version: which version it must be; empty for that of the first answer.
        size: bytes that the whole file must have, if known.

    Raises:
        DataError: the file is missing, may not be read, is shorter than asked for, was replaced, or could
            not be read in all attempts.
    """
    at, attempts = start, _Attempts(name)
    while True:
        try:
            with opened(at) as stream:
                if version and stream.version and stream.version != version:
                    raise DataError(f"{name} was replaced while it was read; begin anew with the new one")
                version = version or stream.version
                end = _checked_end(name, stream.total, stop, size)
                position = stream.start
                for piece in stream.pieces:
                    before, position = position, position + len(piece)
                    wanted = piece[max(0, at - before) : None if end is None else max(0, end - before)]
                    if wanted:
                        yield wanted
                        at += len(wanted)
                        attempts.progressed()
                    if end is not None and position > end:
                        break  # The server sends more than was requested.
                if end is not None and at < end:
                    raise TransientError(f"it ended after {at - start:,} of {end - start:,} bytes")
            return
        except ThalwegError:
            raise
        except Exception as error:
            failure = error
        attempts.failed(failure)


def _checked_end(name: str, total: int | None, stop: int | None, size: int | None) -> int | None:
    if total is None:
        return stop
    if size is not None and total != size:
        raise DataError(f"{name} has {total:,} bytes where {size:,} are expected")
    if stop is not None and stop > total:
        raise DataError(f"{name} has only {total:,} bytes, up to {stop:,} were requested")
    return total if stop is None else stop


class _Attempts:
    """The failures of one request."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._failures = 0
        self._told = False

    def progressed(self) -> None:
        """Something arrived: count anew."""
        self._failures = 0

    def failed(self, error: Exception) -> None:
        """Wait before the next attempt, or give up.

        Raises:
            DataError: trying again is of no use, or has been.
        """
        failure = classify(error)
        self._failures += 1
        if not failure.transient or self._failures >= ATTEMPTS:
            tried = f" (tried {self._failures} times)" if failure.transient else ""
            raise told(self._name, failure, tried) from cause_of(error)
        wait = pause(self._name, self._failures)
        if not self._told:
            self._told = True
            _log.warning("%s: %s; trying again", self._name, failure.reason)
        sleep(wait)


def told(name: str, failure: Failure, more: str = "") -> DataError:
    """What is raised of a failure: the place, and what became of it."""
    separator = " " if failure.reason.startswith(_VERBS) else ": "
    return failure.kind(f"{name}{separator}{failure.reason}{more}")


def cause_of(error: Exception) -> OSError:
    """An error as the cause of another: not itself, as its text may hold what is masked here."""
    return OSError(redacted(f"{type(error).__name__}: {error}")).with_traceback(error.__traceback__)


def pause(name: str, failures: int) -> float:
    """Seconds before the next attempt: twice as many each time, less a share of its own for each process.

    Processes that failed together so do not come back together.
    """
    digest = hashlib.sha256(f"{name}/{os.getpid()}/{failures}".encode()).digest()
    share = int.from_bytes(digest[:4], "big") / 2**32
    return min(_LONGEST, _FIRST * 2.0 ** (failures - 1)) * (0.5 + share / 2)
