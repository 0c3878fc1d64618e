"""Metrics, and the statistics of features that they are computed from."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from jaxtyping import Int
from torch import Tensor

from thalweg.types import (
    Features,
)


@runtime_checkable
class Statistic(Protocol):
    """Accumulates what metrics need of the features of samples or of a reference.

    Cut into batches and spread over processes however one likes, it comes to the same.
    """

    def update(self, features: Features, labels: Int[Tensor, " N"] | None, indices: Sequence[int]) -> None:
        """Take a batch.

        Args:
            features: of the batch.
            labels: the class of each image, or that it was generated for; None where there are none.
            indices: the place of each image in the whole set.
        """
        ...

    def merge(self, other: Any) -> None:
        """Take all that another one has, as if it had come here."""
        ...

    def state(self) -> Mapping[str, Tensor]:
        """All it holds, as tensors on the CPU: to be stored, or sent to another process."""
        ...

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Become what :meth:`state` was taken of."""
        ...


Better = Literal["higher", "lower"] | None
"""Which way a number is better; None where neither is."""


@runtime_checkable
class Metric(Protocol):
    """One or several numbers about samples.

    It says which statistics it needs by key, such as ``moments:pooled``; metrics that share an encoder
    share statistics of equal keys, so these must come to the same.

    Attributes:
        name: its name, such as ``frechet_distance``.
        better: which way its numbers are better, ``higher`` or ``lower``; None where neither is, and
            they are not ranked. Numbers with ``_std`` in their names never are.

    One whose numbers need more than its statistics has ``check(samples, reference)`` as well. It is called
    before the first image is read, and again once the reference was, and raises a ``ThalwegError`` if a
    package is missing or samples and reference do not go together. ``samples`` are its statistics of two
    stand-ins for samples, ``reference`` those of the reference that are at hand: before it was read, perhaps
    none.
    """

    name: str
    better: Better

    def statistics(self, count: int) -> Mapping[str, Callable[[], Statistic]]:
        """What it needs of ``count`` samples: a maker of the empty statistic for each key."""
        ...

    def reference_statistics(self, count: int) -> Mapping[str, Callable[[], Statistic]]:
        """What it needs of ``count`` real images; empty if it does without a reference."""
        ...

    def __call__(
        self, samples: Mapping[str, Statistic], reference: Mapping[str, Statistic]
    ) -> Mapping[str, float]:
        """Its numbers by name, from the statistics requested, all images taken."""
        ...
