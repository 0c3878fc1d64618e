"""The shards of a set, opened when they are first needed or shortly before."""

import threading
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from thalweg.data.shards.file import check_labels, map_file
from thalweg.data.shards.header import EMPTY
from thalweg.data.shards.index import ShardIndex, shard_name
from thalweg.errors import DataError, ThalwegError
from thalweg.storage import Cache, Location

Arrays = Mapping[str, np.ndarray]

_OPEN = 32  # shards kept mapped: four windows of the order; each holds a file descriptor
_AHEAD = 8  # shards that may wait to be opened early, so that they drive none from the cache that is in use
_THREADS = 2


class ShardStore:
    """Opens shards: fetched if they are stored elsewhere, compared with their SHA-256 once, mapped into
    memory.

    It may be used from several threads at once.

    Args:
        location: the folder.
        index: what is in it.
        cache: where remote shards are kept.

    Attributes:
        index: the same.
        empty: the encoder's empty caption; None without text.

    Raises:
        DataError: if the empty caption is missing or damaged.
    """

    def __init__(self, location: Location, index: ShardIndex, cache: Cache) -> None:
        self.index = index
        self._location, self._cache = location, cache
        # With the path, which holds a file of the cache there as long as it is mapped.
        self._open: OrderedDict[int, tuple[Arrays, Path]] = OrderedDict()
        self._checked: dict[int, tuple[int, ...]] = {}
        self._locks: dict[int, threading.Lock] = {}
        self._lock = threading.Lock()
        self.empty: Arrays | None = None
        if index.empty is not None:
            place, entry = location / EMPTY, index.empty
            path = place.local or cache.fetch(place, sha256=entry.sha256, size=entry.bytes)
            self.empty = map_file(path, str(place), entry, index.header.empty_caption(), check=True)
        self._waiting: deque[int] = deque()
        self._threads = 0

    @property
    def checked(self) -> frozenset[int]:
        """The shards whose SHA-256 has been compared."""
        return frozenset(self._checked)

    def open(self, number: int) -> Arrays:
        """The tensors of a shard, by name, its samples in front.

        Raises:
            DataError: if it is missing, damaged, or cannot be fetched.
        """
        with self._lock:
            found = self._open.get(number)
            if found is not None:
                self._open.move_to_end(number)
                return found[0]
            own = self._locks.setdefault(number, threading.Lock())
        with own:
            # Somebody else may have opened it while this thread waited.
            with self._lock:
                found = self._open.get(number)
            return self._load(number) if found is None else found[0]

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

    def _load(self, number: int) -> Arrays:
        entry, place = self.index.shards[number], self._location / shard_name(number)
        path = place.local
        if path is not None:
            state = _state(path, str(place))
            checked = self._checked.get(number) == state
        else:
            # Which compares the SHA-256 itself.
            path, state, checked = self._cache.fetch(place, sha256=entry.sha256, size=entry.bytes), (), True
        arrays = map_file(path, str(place), entry, self.index.header.shard(entry.count), check=not checked)
        if number not in self._checked:
            check_labels(arrays, self.index.header, str(place))
        with self._lock:
            self._checked[number] = state
            self._open[number] = arrays, path
            while len(self._open) > _OPEN:
                self._open.popitem(last=False)
        return arrays


def _state(path: Path, name: str) -> tuple[int, ...]:
    """What changes if a file is replaced."""
    try:
        stat = path.stat()
    except OSError as error:
        raise DataError(f"{name} cannot be read ({error.strerror}); copy it again or encode anew") from error
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
