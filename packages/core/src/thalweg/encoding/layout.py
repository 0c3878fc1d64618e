"""Which image lies in which shard, and which are encoded together."""

from functools import cached_property

import attrs
from jaxtyping import Int
from torch import Tensor, randperm

from thalweg.randomness import generator


@attrs.frozen
class Layout:
    """A permutation of the source, cut into shards, each cut into batches.

    Sources are sorted by class, shards must not be: a reader shuffles among a few of them at a time. It
    depends on nothing but its fields, so that any process may write any shard, and a run that goes on
    encodes the same images together as before.

    Attributes:
        count: images of the source.
        shard_samples: images of a shard; the last one holds the rest.
        batch_size: images encoded at once; no batch spans two shards.
        seed: of the permutation.
    """

    count: int
    shard_samples: int
    batch_size: int
    seed: int

    @property
    def shards(self) -> int:
        """How many there are."""
        return -(-self.count // self.shard_samples)

    def samples(self, number: int) -> int:
        """Images of one shard."""
        return min(self.shard_samples, self.count - number * self.shard_samples)

    def batches(self, number: int) -> list[list[int]]:
        """The source's indices of one shard, batch by batch."""
        start = number * self.shard_samples
        indices = self._permutation[start : start + self.samples(number)].tolist()
        return [indices[place : place + self.batch_size] for place in range(0, len(indices), self.batch_size)]

    @cached_property
    def _permutation(self) -> Int[Tensor, " count"]:
        return randperm(self.count, generator=generator(self.seed, "encode"))
