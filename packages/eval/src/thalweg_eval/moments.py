"""Mean and covariance of a stream of vectors, in float64, without holding the stream."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.errors import DataError
from thalweg.types import Features


class Moments:
    """Count, mean and scatter (the sum of outer products of deviations from the mean) so far.

    Every batch is centred on its own mean before its products are summed, so that a large common
    offset costs no digits, and is then merged by the pairwise update of T. F. Chan, G. H. Golub and
    R. J. LeVeque, Updating formulae and a pairwise algorithm for computing sample variances, 1979,
    equation 2.1. Memory is that of one F x F matrix and one batch.
    """

    def __init__(self, width: int) -> None:
        self.count = 0
        self.mean_F = torch.zeros(width, dtype=torch.float64)
        self.scatter_FF = torch.zeros(width, width, dtype=torch.float64)

    def update(self, pooled: Float[Tensor, "N F"]) -> None:
        """Take a batch of vectors.

        Raises:
            DataError: if they are of another width or not finite.
        """
        self._check_width(pooled.shape[1])
        if not bool(torch.isfinite(pooled).all()):
            raise DataError(
                "some features are not finite; look for broken images or samples that have diverged"
            )
        if len(pooled) == 0:
            return
        pooled_NF = pooled.detach().to("cpu", torch.float64)
        mean_F = pooled_NF.mean(0)
        centred_NF = pooled_NF - mean_F
        self._merge(len(pooled_NF), mean_F, centred_NF.T @ centred_NF)

    def merge(self, other: "Moments") -> None:
        """Take all that another one has seen, as if its vectors had come here.

        Raises:
            DataError: if they are of another width.
        """
        self._check_width(len(other.mean_F))
        if other.count:
            self._merge(other.count, other.mean_F, other.scatter_FF)

    def covariance(self) -> Float[Tensor, "F F"]:
        """The unbiased covariance, scatter / (count - 1).

        Raises:
            DataError: for fewer than two vectors, which have none.
        """
        if self.count < 2:
            raise DataError(
                f"a covariance needs at least two images, but there {'is' if self.count else 'are'} "
                f"{self.count}; give more"
            )
        return self.scatter_FF / (self.count - 1)

    def _merge(self, count: int, mean_F: Tensor, scatter_FF: Tensor) -> None:
        total = self.count + count
        shift_F = mean_F - self.mean_F
        self.scatter_FF += scatter_FF
        self.scatter_FF.addr_(shift_F, shift_F, alpha=self.count * count / total)
        self.mean_F += shift_F * (count / total)
        self.count = total

    def _check_width(self, width: int) -> None:
        if width != len(self.mean_F):
            raise DataError(
                f"features of width {width} meet features of width {len(self.mean_F)}; "
                "extract both sides with the same extractor"
            )


def moments_of(batches: Iterable[Features]) -> Moments:
    """The moments of the pooled features of all batches.

    Raises:
        DataError: if there is no batch, widths differ, or a feature is not finite.
    """
    moments: Moments | None = None
    for features in batches:
        if moments is None:
            moments = Moments(features.pooled.shape[1])
        moments.update(features.pooled)
    if moments is None:
        raise DataError("there are no images to take features of; give at least two")
    return moments
