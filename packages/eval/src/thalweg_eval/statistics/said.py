"""Which caption each image has, by the number that stands for its words."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Int, Int64
from torch import Tensor

from thalweg.errors import ConfigError
from thalweg.types import Features
from thalweg_eval.statistics.places import in_order


class Said:
    """The numbers of captions with the places of their images."""

    def __init__(self) -> None:
        self._said_N = torch.zeros(0, dtype=torch.int64)
        self._places_N = torch.zeros(0, dtype=torch.int64)

    def update(
        self,
        features: Features,
        labels: Int[Tensor, " N"] | None,  # noqa: ARG002 - captions say more
        indices: Sequence[int],
    ) -> None:
        """Take a batch.

        Raises:
            ConfigError: if the images have no captions.
        """
        if features.said is None:
            raise ConfigError(
                "the metric needs the captions of samples and of real images, and a side has none in words; "
                "compare samples that were drawn for captions with a data set that has captions"
            )
        self._take(features.said, torch.tensor(list(indices), dtype=torch.int64))

    def merge(self, other: "Said") -> None:
        """Take all that another one has seen."""
        self._take(other._said_N, other._places_N)

    def state(self) -> Mapping[str, Tensor]:
        """``said`` and ``indices``."""
        return {"said": self._said_N, "indices": self._places_N}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Become what the state was taken of."""
        self._said_N, self._places_N = state["said"].long(), state["indices"].long()

    def ordered(self) -> Int64[Tensor, " N"]:
        """All numbers in the order of their images.

        Raises:
            DataError: if an image was counted twice.
        """
        return self._said_N[in_order(self._places_N)[1]]

    def _take(self, said_N: Tensor, places_N: Tensor) -> None:
        self._said_N = torch.cat([self._said_N, said_N.cpu()])
        self._places_N = torch.cat([self._places_N, places_N])
