"""Sums of class probabilities split by split, from which the inception score follows."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from thalweg.errors import DataError
from thalweg.types import Features
from thalweg_eval.statistics.vectors import vectors


class SplitProbabilities:
    """For every split: how many images, the sum of p, and the sum of p log p over images and classes.

    p is the softmax of the logits in float64. With q the mean of p over n images of a split, the mean
    Kullback-Leibler divergence is (sum of p log p) / n - sum of q log q, so the images themselves need
    not be kept.

    Args:
        split_of: the split of every image of the set, by its index.
        splits: number of splits.
    """

    def __init__(self, split_of: Sequence[int], splits: int) -> None:
        self._split_of = torch.as_tensor(split_of, dtype=torch.int64)
        self._counts_s = torch.zeros(splits, dtype=torch.int64)
        self._entropies_s = torch.zeros(splits, dtype=torch.float64)
        self._sums_sK: Tensor | None = None

    def update(
        self,
        features: Features,
        labels: Int[Tensor, " N"] | None,  # noqa: ARG002 - what the images were meant for does not count
        indices: Sequence[int],
    ) -> None:
        """Take a batch of logits.

        Raises:
            ConfigError: if the extractor is no classifier.
            DataError: if a logit is not finite, or an index outside the set that was announced.
        """
        logits_NK = vectors(features, "logits").detach().to("cpu", torch.float64)
        places_N = torch.tensor(list(indices), dtype=torch.int64)
        if len(places_N) and not 0 <= int(places_N.min()) <= int(places_N.max()) < len(self._split_of):
            raise DataError(
                f"an image lies outside the {len(self._split_of)} that were announced; give their number"
            )
        p_NK = logits_NK.softmax(1)
        split_N = self._split_of[places_N]
        self._counts_s.index_add_(0, split_N, torch.ones_like(split_N))
        self._entropies_s.index_add_(0, split_N, (p_NK * logits_NK.log_softmax(1)).sum(1))
        self._sums(p_NK.shape[1]).index_add_(0, split_N, p_NK)

    def merge(self, other: "SplitProbabilities") -> None:
        """Take all that another one has seen."""
        self._counts_s += other._counts_s
        self._entropies_s += other._entropies_s
        if other._sums_sK is not None:
            self._sums(other._sums_sK.shape[1]).add_(other._sums_sK)

    def state(self) -> Mapping[str, Tensor]:
        """``counts``, ``entropies`` and, unless nothing was seen, ``sums``."""
        state = {"counts": self._counts_s.clone(), "entropies": self._entropies_s.clone()}
        return state if self._sums_sK is None else {**state, "sums": self._sums_sK.clone()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Become what the state was taken of."""
        self._counts_s, self._entropies_s = state["counts"].clone(), state["entropies"].clone()
        self._sums_sK = state["sums"].clone() if "sums" in state else None

    def scores(self) -> list[float]:
        """The inception score of every split.

        Raises:
            DataError: if a split has no image.
        """
        if self._sums_sK is None or not bool((self._counts_s > 0).all()):
            raise DataError("a split of the images is empty; give more images, or fewer splits")
        q_sK = self._sums_sK / self._counts_s[:, None]
        divergences_s = self._entropies_s / self._counts_s - torch.xlogy(q_sK, q_sK).sum(1)
        scores: list[float] = divergences_s.exp().tolist()
        return scores

    def _sums(self, classes: int) -> Tensor:
        if self._sums_sK is None:
            self._sums_sK = torch.zeros(len(self._counts_s), classes, dtype=torch.float64)
        elif classes != self._sums_sK.shape[1]:
            raise DataError(
                f"{classes} class scores meet {self._sums_sK.shape[1]}; use one extractor throughout"
            )
        return self._sums_sK
