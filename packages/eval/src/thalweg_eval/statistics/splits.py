"""Sums of class probabilities split by split, from which the inception score follows."""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from thalweg.errors import DataError
from thalweg.types import Features
from thalweg_eval.statistics.totals import Totals
from thalweg_eval.statistics.vectors import vectors


class SplitProbabilities(Totals):
    """For every split: how many images, the sum of p, and the sum of p log p over images and classes.

    p is the softmax of the logits in float64. With q the mean of p over n images of a split, the mean
    Kullback-Leibler divergence is (sum of p log p) / n - sum of q log q, so the images themselves need
    not be kept.

    Args:
        split_of: the split of every image of the set, by its index.
        splits: number of splits.
    """

    names = ("counts", "entropies", "sums")

    def __init__(self, split_of: Sequence[int], splits: int) -> None:
        super().__init__()
        self._split_of, self._splits = torch.as_tensor(split_of, dtype=torch.int64), splits

    def update(
        self,
        features: Features,
        _labels: Int[Tensor, " N"] | None,
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
                f"an image is outside the {len(self._split_of)} that were announced; give their number"
            )
        p_NK, split_N = logits_NK.softmax(1), self._split_of[places_N]
        of_each = {
            "counts": torch.ones_like(split_N),
            "entropies": (p_NK * logits_NK.log_softmax(1)).sum(1),
            "sums": p_NK,
        }
        self.add(
            {
                name: torch.zeros(self._splits, *one.shape[1:], dtype=one.dtype).index_add_(0, split_N, one)
                for name, one in of_each.items()
            }
        )

    def scores(self) -> list[float]:
        """The inception score of every split.

        Raises:
            DataError: if a split has no image.
        """
        if not self.totals or not bool((self.totals["counts"] > 0).all()):
            raise DataError("a split of the images is empty; give more images, or fewer splits")
        q_sK = self.totals["sums"] / self.totals["counts"][:, None]
        divergences_s = self.totals["entropies"] / self.totals["counts"] - torch.xlogy(q_sK, q_sK).sum(1)
        scores: list[float] = divergences_s.exp().tolist()
        return scores
