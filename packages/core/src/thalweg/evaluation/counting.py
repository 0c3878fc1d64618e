"""How often a network was evaluated for its samples, kept with what was seen of them."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

EVALUATIONS = "evaluations"
"""Its key among statistics; those of judges have a slash."""


class Evaluations:
    """A statistic of the drawing instead of the images, merged and stored as all others are.

    Attributes:
        evaluated: images that the network was evaluated on: a pass that ended early counts its share.
        images: those that were drawn so.
    """

    def __init__(self) -> None:
        self.evaluated, self.images = Fraction(0), 0

    @property
    def of_each(self) -> float | None:
        """Evaluations per sample, on average; None where nothing was drawn."""
        return float(self.evaluated / self.images) if self.images else None

    def count(self, evaluated: Fraction, images: int) -> None:
        """Take what a batch has cost."""
        self.evaluated, self.images = self.evaluated + evaluated, self.images + images

    def update(self, features: Any, labels: Tensor | None, indices: Sequence[int]) -> None:
        """Images say nothing of it."""

    def merge(self, other: "Evaluations") -> None:
        """Take all that another one has counted."""
        self.count(other.evaluated, other.images)

    def state(self) -> Mapping[str, Tensor]:
        """Both counts."""
        return {
            "evaluated": torch.tensor([self.evaluated.numerator, self.evaluated.denominator]),
            "images": torch.tensor(self.images),
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Become what :meth:`state` was taken of."""
        self.evaluated, self.images = Fraction(*state["evaluated"].tolist()), int(state["images"])
