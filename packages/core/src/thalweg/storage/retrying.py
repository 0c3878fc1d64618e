"""Trying again: the one place that does."""

import hashlib
import logging
import os
from collections.abc import Callable
from time import sleep
from typing import TypeVar

from thalweg.errors import ThalwegError
from thalweg.storage.failures import judge
from thalweg.storage.redaction import redacted

T = TypeVar("T")

ATTEMPTS = 8
"""Failures in a row, without a byte in between, that end it: about a minute and a half at the longest."""

_FIRST = 0.5
_LONGEST = 30.0

_log = logging.getLogger("thalweg")


class Attempts:
    """The failures of one request.

    Args:
        name: of the place, for messages.
    """

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
        verdict = judge(error)
        self._failures += 1
        if not verdict.transient or self._failures >= ATTEMPTS:
            tried = f" (tried {self._failures} times)" if verdict.transient else ""
            separator = " " if verdict.reason.startswith(_VERBS) else ": "
            # Not the error itself: its text may hold what is masked here.
            cause = OSError(redacted(f"{type(error).__name__}: {error}")).with_traceback(error.__traceback__)
            raise verdict.kind(f"{self._name}{separator}{verdict.reason}{tried}") from cause
        wait = pause(self._name, self._failures)
        if not self._told:
            self._told = True
            _log.warning("%s: %s; trying again", self._name, verdict.reason)
        sleep(wait)


_VERBS = ("does not ", "may not ", "needs ")


def pause(name: str, failures: int) -> float:
    """Seconds before the next attempt: twice as many each time, less a share of its own for each process.

    Processes that failed together so do not come back together.
    """
    digest = hashlib.sha256(f"{name}/{os.getpid()}/{failures}".encode()).digest()
    share = int.from_bytes(digest[:4], "big") / 2**32
    return min(_LONGEST, _FIRST * 2.0 ** (failures - 1)) * (0.5 + share / 2)


def retried(name: str, call: Callable[[], T]) -> T:
    """What a call returns, tried again where that may help.

    Raises:
        DataError: it failed for good.
    """
    attempts = Attempts(name)
    while True:
        try:
            return call()
        except ThalwegError:
            raise
        except Exception as error:
            failure = error
        # Out of the handler, so that what is raised does not carry the error along.
        attempts.failed(failure)
