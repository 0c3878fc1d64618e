"""Sums of a number per image, exact whatever the order."""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from thalweg.errors import DataError
from thalweg.types import Features

PerImage = Callable[[Features, Int[Tensor, " N"] | None], Float[Tensor, "N numbers"]]
"""``numbers(features, labels)``: some float64 numbers of each image."""


class Sums:
    """Sums in float64 of a few numbers of each image.

    Args:
        numbers: gives them for a batch.
    """

    def __init__(self, numbers: PerImage) -> None:
        self._numbers = numbers
        self.count = 0
        self._sums: Tensor | None = None

    def update(
        self,
        features: Features,
        labels: Int[Tensor, " N"] | None,
        indices: Sequence[int],  # noqa: ARG002 - sums know no order
    ) -> None:
        """Take a batch.

        Raises:
            ThalwegError: whatever the numbers' function says against it.
        """
        self._add(len(features.pooled), self._numbers(features, labels).sum(0))

    def merge(self, other: "Sums") -> None:
        """Take all that another one has seen."""
        if other._sums is not None:
            self._add(other.count, other._sums)

    def state(self) -> Mapping[str, Tensor]:
        """``count`` and, unless nothing was seen, ``sums``."""
        state = {"count": torch.tensor(self.count)}
        return state if self._sums is None else {**state, "sums": self._sums.clone()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Become what the state was taken of."""
        self.count = int(state["count"])
        self._sums = state["sums"].clone() if "sums" in state else None

    def sums(self) -> Float[Tensor, " numbers"]:
        """The sums.

        Raises:
            DataError: if nothing was seen.
        """
        if self._sums is None or self.count == 0:
            raise DataError("there are no samples to judge; give at least one")
        return self._sums

    def _add(self, count: int, sums: Tensor) -> None:
        self.count += count
        self._sums = sums.clone() if self._sums is None else self._sums + sums
