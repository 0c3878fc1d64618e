"""The order in which training reads a data set, as a function of the step alone.

The stream of samples is permutation 0 of the data set, then permutation 1, and so on; step s reads
stream[s B : (s + 1) B]. So every sample is read exactly once an epoch, no tail is dropped, and a run
that resumes at a step needs no state to read what the uninterrupted run would have.

Samples in shards are not permuted all together, since then every batch would touch every shard.
Each epoch permutes the shards, and within each :data:`WINDOW` of them that follow one another then, all
their samples.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Int
from torch import Tensor

from thalweg.errors import ConfigError, DataError
from thalweg.randomness import generator

WINDOW = 8
"""Shards whose samples are shuffled together. Of 64 MiB each, that is half a GiB that is in use at once,
and, at 2,000 samples a shard, 16,000 samples among which a batch is drawn."""


def indices(
    seed: int,
    step: int,
    batch_size: int,
    size: int,
    rank: int = 0,
    world: int = 1,
    *,
    blocks: Sequence[int] | None = None,
) -> list[int]:
    """The samples that one process reads at one step.

    Rank r of W takes every W-th sample of the global batch, from the r-th on, so the global batch is
    the same for any number of processes.

    Args:
        seed: the run's seed.
        step: 0, 1, ...
        batch_size: B, samples of the global batch; it may exceed the data set and then spans epochs.
        size: samples in the data set.
        rank: r, this process.
        world: W, the number of processes; it divides the batch size.
        blocks: sizes of the shards that store the samples one after another, as a split's ``blocks`` has
            them; None for samples that are all equally near.

    Raises:
        DataError: if the data set is empty.
        ConfigError: if the batch is empty or cannot be shared out evenly.
        ValueError: if steps or ranks are none, or the blocks do not add up to ``size``.
    """
    if size < 1:
        raise DataError("the data set holds no samples; give one that does")
    if batch_size < 1 or batch_size % world:
        raise ConfigError(
            f"a batch of {batch_size} cannot be shared out evenly to {world} processes; "
            f"give a batch size that is a positive multiple of {world}"
        )
    if step < 0 or not 0 <= rank < world:
        raise ValueError(f"step {step}, rank {rank} of {world}: steps and ranks count from 0")
    sizes = (size,) if blocks is None else tuple(blocks)
    place, stop = step * batch_size, (step + 1) * batch_size
    stream: list[int] = []
    while place < stop:
        epoch, offset = divmod(place, size)
        piece = _permutation(seed, epoch, size, sizes)[offset : offset + stop - place].tolist()
        stream += piece
        place += len(piece)
    return stream[rank::world]


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, size: int, blocks: tuple[int, ...]) -> Int[Tensor, " N"]:
    """Permutation ``epoch`` of the stream; a few are kept, for steps that straddle two epochs."""
    if sum(blocks) != size or min(blocks) < 0:
        raise ValueError(f"blocks of {sum(blocks)} samples do not make up {size}")
    draws = generator(seed, "order", epoch)
    return shuffled(draws, blocks)


def shuffled(draws: torch.Generator, blocks: Sequence[int]) -> Int[Tensor, " N"]:
    """Samples that are stored in shards of these sizes, as one epoch reads them.

    Args:
        draws: what is drawn from.
        blocks: samples of each shard.
    """
    if len(blocks) == 1:
        return torch.randperm(blocks[0], generator=draws)
    pieces = torch.arange(sum(blocks)).split(list(blocks))
    order = torch.randperm(len(blocks), generator=draws).tolist()
    windows = [order[first : first + WINDOW] for first in range(0, len(order), WINDOW)]
    together = [torch.cat([pieces[number] for number in window]) for window in windows]
    return torch.cat([part[torch.randperm(len(part), generator=draws)] for part in together])
