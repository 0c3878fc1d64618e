"""The order in which training reads a data set, as a function of the step alone.

The stream of samples is permutation 0 of the data set, then permutation 1, and so on; step s reads
stream[s B : (s + 1) B]. So every sample is read exactly once an epoch, no tail is dropped, and a run
that resumes at a step needs no state to read what the uninterrupted run would have.
"""

from functools import lru_cache

import torch
from jaxtyping import Int
from torch import Tensor

from thalweg.errors import ConfigError, DataError
from thalweg.randomness import generator


def indices(seed: int, step: int, batch_size: int, size: int, rank: int = 0, world: int = 1) -> list[int]:
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

    Raises:
        DataError: if the data set is empty.
        ConfigError: if the batch is empty or cannot be shared out evenly.
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
    place, stop = step * batch_size, (step + 1) * batch_size
    stream: list[int] = []
    while place < stop:
        epoch, offset = divmod(place, size)
        piece = _permutation(seed, epoch, size)[offset : offset + stop - place].tolist()
        stream += piece
        place += len(piece)
    return stream[rank::world]


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, size: int) -> Int[Tensor, " N"]:
    """Permutation ``epoch`` of the stream; a few are kept, for steps that straddle two epochs."""
    return torch.randperm(size, generator=generator(seed, "order", epoch))
