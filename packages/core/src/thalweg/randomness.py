"""Randomness that depends on nothing but what it is for.

Every draw comes from a generator seeded by its address, such as (seed, "noise", rank, step). A resumed
run therefore draws what the uninterrupted one would have, and sample i of a seed is the same whatever
batch it is generated in.
"""

import hashlib
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

_SEED_BITS = 63


def generator(seed: int, purpose: str, *address: int) -> torch.Generator:
    """A CPU generator for one address.

    Args:
        seed: the run's seed.
        purpose: what the draws are for; other purposes give independent streams.
        address: integers such as rank and step.
    """
    key = "/".join([str(seed), purpose, *map(str, address)]).encode()
    # A hash, since neighbouring integers as seeds give correlated streams in some generators.
    digest = hashlib.sha256(key).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") % 2**_SEED_BITS)


class SampleNoise:
    """The noise of samples ``indices`` under a seed: x_1 first, then one increment a step.

    Each sample owns a stream, so the draws of sample i do not depend on the other indices.
    """

    def __init__(self, seed: int, indices: Sequence[int], shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._generators = [generator(seed, "sample", index) for index in indices]

    def initial(self) -> Float[Tensor, "N *shape"]:
        """x_1, to be asked for once and first."""
        return self._draw()

    def increments(self, step: int) -> Float[Tensor, "N *shape"]:  # noqa: ARG002 - the streams count
        """N(0, I) draws for the next step."""
        return self._draw()

    def _draw(self) -> Float[Tensor, "N *shape"]:
        return torch.stack([torch.randn(self._shape, generator=one) for one in self._generators])
