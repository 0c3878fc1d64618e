"""All pooled features, for the metrics that cannot do without."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from thalweg.errors import DataError
from thalweg.types import Features
from thalweg_eval.statistics.places import in_order
from thalweg_eval.statistics.vectors import vectors


class Collected:
    """The vectors in float32 with the places of their images; it is the one statistic that grows.

    Results are read in the order of the images, so they depend neither on batches nor on the order of
    arrival.
    """

    def __init__(self) -> None:
        self._parts: list[Tensor] = []
        self._places: list[Tensor] = []

    def update(
        self,
        features: Features,
        labels: Int[Tensor, " N"] | None,  # noqa: ARG002 - vectors are kept whatever their class
        indices: Sequence[int],
    ) -> None:
        """Take a batch of vectors.

        Raises:
            DataError: if they are not finite, or as many indices as vectors are not given.
        """
        pooled_NF = vectors(features, "pooled").detach().to("cpu", torch.float32)
        if len(pooled_NF) != len(indices):
            raise DataError(f"there are {len(pooled_NF)} images but {len(indices)} indices; give one each")
        # A view would keep alive whatever it was cut from.
        self._take(pooled_NF.clone(), torch.tensor(list(indices), dtype=torch.int64))

    def merge(self, other: "Collected") -> None:
        """Take all that another one has seen."""
        for pooled_NF, places_N in zip(other._parts, other._places, strict=True):
            self._take(pooled_NF, places_N)

    def state(self) -> Mapping[str, Tensor]:
        """``features`` and ``indices``; none if nothing was seen."""
        if not self._parts:
            return {}
        return {"features": torch.cat(self._parts), "indices": torch.cat(self._places)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Become what the state was taken of.

        Raises:
            DataError: if it is none of vectors.
        """
        self._parts, self._places = [], []
        if state:
            pooled_NF, places_N = state["features"].float(), state["indices"].long()
            if pooled_NF.ndim != 2 or places_N.shape != (len(pooled_NF),) or not pooled_NF.isfinite().all():
                raise DataError("the features are no finite vectors with a place each; make them anew")
            self._parts, self._places = [pooled_NF], [places_N]

    def ordered(self) -> Float[Tensor, "N F"]:
        """All vectors in the order of their images.

        Raises:
            DataError: if there are none, or an image was counted twice.
        """
        if not self._parts:
            raise DataError("there are no images to take features of; give at least two")
        places_N, order_N = in_order(torch.cat(self._places))
        # One copy remains, in order: what comes next may ask again.
        self._parts, self._places = [torch.cat(self._parts)[order_N]], [places_N]
        return self._parts[0]

    def _take(self, pooled_NF: Tensor, places_N: Tensor) -> None:
        if self._parts and pooled_NF.shape[1] != self._parts[0].shape[1]:
            raise DataError(
                f"features of width {pooled_NF.shape[1]} meet features of width {self._parts[0].shape[1]}; "
                "extract both sides with the same extractor"
            )
        self._parts.append(pooled_NF)
        self._places.append(places_N)
