"""Sums of a number per image, exact whatever the order."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from thalweg.errors import DataError
from thalweg.types import Features
from thalweg_eval.statistics.totals import Totals

PerImage = Callable[[Features, Int[Tensor, " N"] | None], Float[Tensor, "N numbers"]]
"""``numbers(features, labels)``: some float64 numbers of each image."""


class Sums(Totals):
    """Sums in float64 of a few numbers of each image.

    Args:
        numbers: gives them for a batch.
    """

    names = ("count", "sums")

    def __init__(self, numbers: PerImage) -> None:
        super().__init__()
        self._numbers = numbers

    def update(self, features: Features, labels: Int[Tensor, " N"] | None, _indices: Sequence[int]) -> None:
        """Take a batch.

        Raises:
            ThalwegError: whatever the numbers' function says against it.
        """
        sums = self._numbers(features, labels).sum(0)
        self.add({"count": torch.tensor(len(features.pooled)), "sums": sums})

    @property
    def count(self) -> int:
        """Number of images."""
        return int(self.totals.get("count", 0))

    def sums(self) -> Float[Tensor, " numbers"]:
        """The sums.

        Raises:
            DataError: if there were no images.
        """
        if self.count == 0:
            raise DataError("there are no samples; give at least one")
        return self.totals["sums"]
