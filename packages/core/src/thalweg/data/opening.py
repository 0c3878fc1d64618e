"""Shards that are opened when they are first needed or shortly before, a few of them at a time."""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Generic, TypeVar

from thalweg.errors import ThalwegError

T = TypeVar("T")

_OPEN = 32  # shards kept open: four windows of the order; each holds a file descriptor
_AHEAD = 8  # shards that may wait to be opened early, so that they drive none from the cache that is in use
_THREADS = 2


class OpenShards(Generic[T]):
    """What is open of a set of shards, by their numbers; safe to use from several threads at once.

    Args:
        load: opens one; called once for each that is not open.
    """

    def __init__(self, load: Callable[[int], T]) -> None:
        self._load = load
        self._open: OrderedDict[int, T] = OrderedDict()
        self._locks: dict[int, threading.Lock] = {}
        self._lock = threading.Lock()
        self._waiting: deque[int] = deque()
        self._threads = 0

    def open(self, number: int) -> T:
        """A shard, opened if it is not.

        Raises:
            Exception: what opening it raised.
        """
        with self._lock:
            if number in self._open:
                self._open.move_to_end(number)
                return self._open[number]
            own = self._locks.setdefault(number, threading.Lock())
        with own:
            # Somebody else may have opened it while this thread waited.
            with self._lock:
                if number in self._open:
                    return self._open[number]
            found = self._load(number)
            with self._lock:
                self._open[number] = found
                while len(self._open) > _OPEN:
                    self._open.popitem(last=False)
            return found

    def prepare(self, numbers: Iterable[int]) -> None:
        """Open shards in the background that will be needed soon.

        What goes wrong is reported when the shard is requested. Of more than a few, the last are skipped.
        """
        with self._lock:
            for number in numbers:
                if number not in self._open and number not in self._waiting and len(self._waiting) < _AHEAD:
                    self._waiting.append(number)
            missing = min(_THREADS, len(self._waiting)) - self._threads
            for _ in range(missing):
                # Daemons, and gone once nothing waits: nobody has to close a data set.
                threading.Thread(target=self._drain, name="thalweg-shards", daemon=True).start()
                self._threads += 1

    def _drain(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads -= 1
                    return
                number = self._waiting.popleft()
            with suppress(ThalwegError):
                self.open(number)
