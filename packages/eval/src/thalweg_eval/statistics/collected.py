"""A row of each image, for metrics that cannot do without: its pooled features, or its caption's number."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from thalweg.errors import DataError
from thalweg.types import Features
from thalweg_eval.statistics.vectors import vectors


class Collected:
    """The rows with the indices of their images; it is the one statistic that grows.

    Results are read in the order of the images, so they depend neither on batches nor on the order of
    arrival.

    Args:
        kind: ``pooled``, vectors in float32; or ``caption_ids``, integers that stand for captions.
    """

    def __init__(self, kind: Literal["pooled", "caption_ids"] = "pooled") -> None:
        self._kind: Literal["pooled", "caption_ids"] = kind
        self._dtype, self._ndim = (torch.float32, 2) if kind == "pooled" else (torch.int64, 1)
        self._rows: list[Tensor] = []
        self._indices: list[Tensor] = []

    def update(self, features: Features, _labels: Int[Tensor, " N"] | None, indices: Sequence[int]) -> None:
        """Take the rows of a batch.

        Raises:
            ConfigError: if there are none of this kind.
            DataError: if they are not finite, or as many indices as rows are not given.
        """
        rows = vectors(features, self._kind).detach().to("cpu", self._dtype)
        if len(rows) != len(indices):
            raise DataError(f"there are {len(rows)} images but {len(indices)} indices; give one each")
        # A view would keep alive whatever it was cut from.
        self._take(rows.clone(), torch.tensor(list(indices), dtype=torch.int64))

    def merge(self, other: "Collected") -> None:
        """Take all that another one has."""
        for rows, indices_N in zip(other._rows, other._indices, strict=True):
            self._take(rows, indices_N)

    def state(self) -> Mapping[str, Tensor]:
        """``features`` and ``indices``; none without images."""
        if not self._rows:
            return {}
        return {"features": torch.cat(self._rows), "indices": torch.cat(self._indices)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Undoes :meth:`state`.

        Raises:
            DataError: if it is none of such rows.
        """
        self._rows, self._indices = [], []
        if state:
            rows, indices_N = state["features"].to(self._dtype), state["indices"].long()
            whole = rows.ndim == self._ndim and indices_N.shape == (len(rows),)
            if not whole or not rows.isfinite().all():
                raise DataError("the features are no finite vectors with an index each; make them again")
            self._rows, self._indices = [rows], [indices_N]

    def ordered(self) -> Shaped[Tensor, "N *F"]:
        """All rows in the order of their images.

        Raises:
            DataError: if there are none, or an image was counted twice.
        """
        if not self._rows:
            raise DataError("there are no images to take features of; give at least two")
        indices_N, order_N = torch.cat(self._indices).sort()
        twice = indices_N[1:][indices_N[1:] == indices_N[:-1]]
        if len(twice):
            raise DataError(f"image {int(twice[0])} was counted twice; evaluate again from the beginning")
        # One copy remains, in order: what comes next may ask again.
        self._rows, self._indices = [torch.cat(self._rows)[order_N]], [indices_N]
        return self._rows[0]

    def _take(self, rows: Tensor, indices_N: Tensor) -> None:
        if self._rows and rows.shape[1:] != self._rows[0].shape[1:]:
            raise DataError(
                f"features of width {rows.shape[1]} meet features of width {self._rows[0].shape[1]}; "
                "extract both sides with the same extractor"
            )
        self._rows.append(rows)
        self._indices.append(indices_N)
