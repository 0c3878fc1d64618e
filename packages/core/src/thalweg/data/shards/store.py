"""The shards of a set: fetched if they are stored elsewhere, verified, mapped into memory."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from thalweg.data.opening import OpenShards
from thalweg.data.shards.file import check_labels, map_file
from thalweg.data.shards.header import EMPTY
from thalweg.data.shards.index import ShardIndex, shard_name
from thalweg.errors import DataError
from thalweg.storage import Cache, Location

Arrays = Mapping[str, np.ndarray]


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
        self._shards: OpenShards[tuple[Arrays, Path]] = OpenShards(self._load)
        self._checked: dict[int, tuple[int, ...]] = {}
        self.empty: Arrays | None = None
        if index.empty is not None:
            place, entry = location / EMPTY, index.empty
            path = place.local or cache.fetch(place, sha256=entry.sha256, size=entry.bytes)
            self.empty = map_file(path, str(place), entry, index.header.empty_caption(), check=True)

    @property
    def checked(self) -> frozenset[int]:
        """The shards whose SHA-256 has been compared."""
        return frozenset(self._checked)

    def open(self, number: int) -> Arrays:
        """The tensors of a shard, by name, its samples in front.

        Raises:
            DataError: if it is missing, damaged, or cannot be fetched.
        """
        return self._shards.open(number)[0]

    def prepare(self, numbers: Iterable[int]) -> None:
        """Open shards in the background that will be needed soon."""
        self._shards.prepare(numbers)

    def _load(self, number: int) -> tuple[Arrays, Path]:
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
        self._checked[number] = state
        return arrays, path


def _state(path: Path, name: str) -> tuple[int, ...]:
    """What changes if a file is replaced."""
    try:
        stat = path.stat()
    except OSError as error:
        raise DataError(f"{name} cannot be read ({error.strerror}); copy it again or encode anew") from error
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
