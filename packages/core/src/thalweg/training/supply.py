"""The batches of one process, read ahead while it computes."""

from thalweg.data.prefetch import Prefetcher
from thalweg.training.batches import Batches
from thalweg.types import Batch

_REACH = 64  # batches; of 256 samples, about a window of shards, which remote ones are fetched before


class Supply:
    """Hands out one process's shards in the order that it takes them.

    What is read does not depend on when or by which thread: every read has its address.

    Args:
        batches: cuts and reads.
        rank: this process.
        world: number of processes.
        accumulate: shards that a process takes in a step.
        steps: of the whole run, beyond which nothing is read.
        depth: batches read ahead.
        workers: threads that read.
    """

    def __init__(
        self,
        batches: Batches,
        *,
        rank: int,
        world: int,
        accumulate: int,
        steps: int,
        depth: int,
        workers: int,
    ) -> None:
        self._batches, self._rank, self._world, self._accumulate = batches, rank, world, accumulate
        self._ahead = Prefetcher(
            self._read,
            depth=depth,
            workers=workers,
            stop=steps * accumulate,
            upcoming=self._upcoming,
            reach=_REACH,
        )

    def __call__(self, step: int, part: int) -> Batch:
        """The ``part``-th batch of a step, both counted from 0, on the CPU.

        Raises:
            DataError: if data are missing or damaged, at the step that needs them.
        """
        return self._ahead.get(step * self._accumulate + part)

    def shard(self, part: int) -> int:
        """The number of the shard that this process takes as its ``part``-th."""
        return part * self._world + self._rank

    def close(self) -> None:
        """Stop reading ahead."""
        self._ahead.close()

    def _upcoming(self, place: int) -> None:
        step, part = divmod(place, self._accumulate)
        self._batches.upcoming(step, self.shard(part))

    def _read(self, place: int) -> Batch:
        step, part = divmod(place, self._accumulate)
        return self._batches.read(step, self.shard(part))
