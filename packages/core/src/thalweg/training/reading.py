"""Data that cannot be read: every process of a run learns of it, and none waits for one that has stopped."""

import json
from collections.abc import Callable
from typing import TypeVar

from lightning_fabric import Fabric

from thalweg.errors import DamagedImageError, DataError, ThalwegError
from thalweg.suggestions import one_line
from thalweg.training.peers import Peers
from thalweg.types import Batch

T = TypeVar("T")


class UnreadableError(DataError):
    """A process of the run could not read its data; raised alike by all of them.

    Args:
        message: what it said.
        exit_code: of its error.
        damaged: whether an image is at fault, which could be left out.
    """

    def __init__(self, message: str, exit_code: int, damaged: bool) -> None:
        super().__init__(message)
        self.exit_code, self.damaged = exit_code, damaged


class Reading:
    """Reads for one process, together with the others.

    Within a step a process that cannot read goes on with what it read before, since the others wait for its
    gradients; the step is then given up by all, before anything is changed.

    Args:
        fabric: launched.

    Attributes:
        fault: why this process could not read; None while it could.
    """

    def __init__(self, fabric: Fabric) -> None:
        self._peers = Peers(fabric)
        self._stand_in: Batch | None = None
        self._ready: Batch | None = None
        self.fault: Exception | None = None

    def begin(self, read: Callable[[], Batch]) -> None:
        """Read the first batch of a session, before any process counts on another.

        Raises:
            UnreadableError: if a process could not.
        """
        self._ready = self.together(read)

    def batch(self, read: Callable[[], Batch]) -> Batch:
        """A batch of a step.

        Raises:
            UnreadableError: if it cannot be read and no other process waits for this one.
        """
        if self._ready is not None:
            found, self._ready = self._ready, None
        else:
            try:
                found = read()
            except Exception as error:
                if self._peers.count == 1 or self._stand_in is None:
                    raise _told(error) from error
                self.fault = error
                return self._stand_in
        if self._peers.count > 1:
            self._stand_in = found
        return found

    def together(self, read: Callable[[], T]) -> T:
        """Read what every process reads a share of, and go on only if all could.

        Raises:
            UnreadableError: if a process could not.
        """
        found: list[T] = []
        try:
            found.append(read())
        except Exception as error:
            self.fault = error
        self.agree()
        return found[0]

    def agree(self) -> None:
        """Compare notes with the other processes, all of which must call it.

        Raises:
            UnreadableError: if one could not read, of which it tells.
        """
        fault = None if self.fault is None else _told(self.fault)
        mine = "" if fault is None else json.dumps([str(fault), fault.exit_code, fault.damaged])
        first = next(filter(None, self._peers.agree(lambda: mine)), None)
        if first is not None:
            raise UnreadableError(*json.loads(first)) from self.fault

    def gather(self, text: str) -> list[str]:
        """What each process tells, by rank; all must call it."""
        return self._peers.agree(lambda: text)


def _told(error: Exception) -> UnreadableError:
    known = isinstance(error, ThalwegError)
    message = str(error) if known else f"the data cannot be read ({type(error).__name__}: {one_line(error)})"
    code = error.exit_code if isinstance(error, ThalwegError) else ThalwegError.exit_code
    return UnreadableError(message, code, isinstance(error, DamagedImageError))
