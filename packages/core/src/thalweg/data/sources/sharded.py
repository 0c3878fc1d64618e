"""Images that are stored in shards and read shard by shard; all together may be far larger than the disk.

What makes a resumed run exact is that nothing here has a state: with the number of samples in each shard
known, a sample has an index, training asks for indices in an order that is a function of seed and step
(:mod:`thalweg.data.order`), and whichever shards these lie in are opened.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from thalweg.data.opening import OpenShards
from thalweg.errors import DataError
from thalweg.protocols import Record


class OpenShard(Protocol):
    """A shard that is open: its records in the order in which it stores them."""

    def __len__(self) -> int:
        """Samples that it holds."""
        ...

    def __getitem__(self, row: int) -> Record:
        """One of them."""
        ...

    def captions(self, row: int) -> tuple[str, ...]:
        """What is stated of one, without its image."""
        ...


class ShardedImages:
    """A source in shards. Fulfils :class:`thalweg.protocols.Source`.

    Args:
        names: of the shards, for errors.
        counts: samples that each holds.
        load: opens one.
        identity: what they hold.
        classes: number of classes; None where images bear no labels.
        class_names: their names.
        captioned: whether images bear captions.

    Attributes:
        blocks: samples that each shard holds.
    """

    def __init__(
        self,
        names: Sequence[str],
        counts: Sequence[int],
        load: Callable[[int], OpenShard],
        *,
        identity: str,
        classes: int | None,
        class_names: tuple[str, ...] = (),
        captioned: bool,
    ) -> None:
        self.identity, self.classes, self.class_names = identity, classes, class_names
        self.captioned, self.blocks = captioned, tuple(counts)
        self._names, self._load = names, load
        self._ends = np.cumsum(counts)
        self._shards = OpenShards(self._opened)

    def __len__(self) -> int:
        return sum(self.blocks)

    def __getitem__(self, index: int) -> Record:
        number, row = self._place(index)
        return self._shards.open(number)[row]

    def captions(self, index: int) -> tuple[str, ...]:
        """What is stated of an image, which is not read.

        Raises:
            DataError: if a text or its shard is damaged.
        """
        number, row = self._place(index)
        return self._shards.open(number).captions(row)

    def upcoming(self, indices: Sequence[int]) -> None:
        """Open in the background the shards in which these images are stored."""
        numbers = np.searchsorted(self._ends, np.asarray(indices, np.int64), side="right")
        self._shards.prepare(list(dict.fromkeys(numbers.tolist())))

    def _place(self, index: int) -> tuple[int, int]:
        """Shard and row of an image."""
        if not 0 <= index < len(self):
            raise IndexError(f"there are {len(self)} images, and none of index {index}")
        number = int(np.searchsorted(self._ends, index, side="right"))
        return number, index - int(self._ends[number]) + self.blocks[number]

    def _opened(self, number: int) -> OpenShard:
        found, stated = self._load(number), self.blocks[number]
        if len(found) != stated:
            raise DataError(
                f"{self._names[number]} holds {len(found)} samples, and {stated} are stated; correct the "
                "statement beside it, or put the right file there"
            )
        return found
