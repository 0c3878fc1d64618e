"""How often a network was evaluated for its samples, kept beside the statistics of their features."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

NFE = "nfe"
"""Its key among statistics; those of metrics have a slash."""


class NfeCounter:
    """A statistic of sampling instead of the images: how often the network was evaluated.

    Attributes:
        total_nfe: evaluations of the network: a pass that ended early counts its share.
        images: those that were generated so.
    """

    def __init__(self) -> None:
        self.total_nfe, self.images = Fraction(0), 0

    @property
    def per_image(self) -> float | None:
        """Evaluations per sample, on average; None where nothing was generated."""
        return float(self.total_nfe / self.images) if self.images else None

    def count(self, nfe: Fraction, images: int) -> None:
        """Add the evaluations of a batch."""
        self.total_nfe, self.images = self.total_nfe + nfe, self.images + images

    def update(self, *_: Any) -> None:
        """Nothing: images do not say what they cost."""

    def merge(self, other: "NfeCounter") -> None:
        """Add what another one has counted."""
        self.count(other.total_nfe, other.images)

    def state(self) -> Mapping[str, Tensor]:
        """Both counts."""
        return {
            "total_nfe": torch.tensor([self.total_nfe.numerator, self.total_nfe.denominator]),
            "images": torch.tensor(self.images),
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Undoes :meth:`state`."""
        self.total_nfe, self.images = Fraction(*state["total_nfe"].tolist()), int(state["images"])
