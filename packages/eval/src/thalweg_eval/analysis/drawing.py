"""Samples, times and noise that all measurements share."""

from collections.abc import Iterator, Sequence

import attrs
import torch
from jaxtyping import Float, Int
from torch import Tensor

from thalweg.interpolant import Interpolant
from thalweg.protocols import Split
from thalweg.randomness import generator
from thalweg.types import Condition


@attrs.frozen(eq=False)
class Drawn:
    """Noisy samples of one bin of time.

    Attributes:
        x_t: the noisy data.
        t: of each sample.
        velocity: the target V.
        condition: what each is conditioned on, all of it shown.
    """

    x_t: Float[Tensor, "N *shape"]
    t: Float[Tensor, " N"]
    velocity: Float[Tensor, "N *shape"]
    condition: Condition

    @property
    def labels(self) -> Int[Tensor, " N"] | None:
        """The class of each sample."""
        return self.condition.labels


class Draws:
    """Samples of one part of a data set, each once in every bin of time.

    The time and noise of a sample follow from the seed, its index and the bin alone, whatever the batches.

    Args:
        split: the part.
        name: what it is called, so that two parts get other noise.
        samples: how many at most.
        seed: of samples, times and noise.
        interpolant: the path from data to noise.
        bins: of equal width in time.
        batch_size: samples at a time.
        device: where batches are needed.
    """

    def __init__(
        self,
        split: Split,
        name: str,
        samples: int,
        seed: int,
        interpolant: Interpolant,
        bins: int,
        batch_size: int,
        device: torch.device,
    ) -> None:
        self._split, self._name, self._seed, self._path = split, name, seed, interpolant
        self._bins, self._size, self._device = bins, batch_size, device
        order = torch.randperm(len(split), generator=generator(seed, f"analysed {name}"))
        self._order: list[int] = order[:samples].tolist()

    def __len__(self) -> int:
        return len(self._order)

    def batches(self, place: int) -> Iterator[Drawn]:
        """All of them, with times in one bin, counted from 0."""
        for start in range(0, len(self._order), self._size):
            yield self._drawn(self._order[start : start + self._size], place, start)

    def _drawn(self, indices: Sequence[int], place: int, start: int) -> Drawn:
        # The same for every bin, so that what is drawn at a read, such as a latent, is drawn once.
        batch = self._split.batch(indices, generator(self._seed, f"analysed {self._name} data", start))
        draws = [generator(self._seed, f"analysed {self._name}", index, place) for index in indices]
        u = torch.cat([torch.rand(1, generator=one) for one in draws])
        noise = torch.stack([torch.randn(batch.clean.shape[1:], generator=one) for one in draws])
        t = ((place + u) / self._bins).to(self._device)
        batch, noise = batch.to(self._device), noise.to(self._device)
        return Drawn(
            self._path.x_t(batch.clean, noise, t),
            t,
            self._path.velocity(batch.clean, noise, t),
            batch.condition._replace(dropped=None),
        )
