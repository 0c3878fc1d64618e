"""Mean and covariance of a stream of vectors, in float64, without holding the stream."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from thalweg.errors import DataError
from thalweg.types import Features
from thalweg_eval.statistics.vectors import vectors

_ROUNDING = 1e-4
"""What float32 files are allowed, as a share of the largest variance."""


class FeatureMoments:
    """Count, mean and scatter (the sum of outer products of deviations from the mean) so far.

    Every batch is centred on its own mean before its products are summed, so that a large common
    offset costs no digits, and is then merged by the pairwise update of T. F. Chan, G. H. Golub and
    R. J. LeVeque, Updating formulae and a pairwise algorithm for computing sample variances, 1979,
    equation 2.1. Memory is that of one F x F matrix and one batch.

    Args:
        kind: which of the features' vectors are meant: ``pooled`` or ``spatial``.
    """

    def __init__(self, kind: str = "pooled") -> None:
        self._kind = kind
        self.count = 0
        # Of width 0 until the first batch shows it.
        self.mean_F = torch.zeros(0, dtype=torch.float64)
        self.scatter_FF = torch.zeros(0, 0, dtype=torch.float64)

    def update(
        self,
        features: Features,
        _labels: Int[Tensor, " N"] | None,
        _indices: Sequence[int],
    ) -> None:
        """Take a batch of vectors.

        Raises:
            ConfigError: if the features have none of this kind.
            DataError: if they are of another width than before or not finite.
        """
        found_NF = vectors(features, self._kind)
        if len(found_NF) == 0:
            return
        self._open(found_NF.shape[1])
        pooled_NF = found_NF.detach().to("cpu", torch.float64)
        mean_F = pooled_NF.mean(0)
        self._shift(len(pooled_NF), mean_F)
        centred_NF = pooled_NF - mean_F
        self.scatter_FF.addmm_(centred_NF.T, centred_NF)

    def merge(self, other: "FeatureMoments") -> None:
        """Take all vectors of another one.

        Raises:
            DataError: if they are of another width.
        """
        if other.count:
            self._open(len(other.mean_F))
            self._shift(other.count, other.mean_F)
            self.scatter_FF += other.scatter_FF

    def state(self) -> Mapping[str, Tensor]:
        """``count``, ``mean`` and ``scatter``, of width 0 without images."""
        return {
            "count": torch.tensor(self.count),
            "mean": self.mean_F.clone(),
            "scatter": self.scatter_FF.clone(),
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Become what the state was taken of.

        The published mean and covariance of n vectors are loaded as ``count`` n, ``mean``, and
        ``scatter`` = covariance times n - 1.

        Raises:
            DataError: if it is none of moments.
        """
        count = int(state["count"])
        mean_F, scatter_FF = (state[key].to("cpu", torch.float64, copy=True) for key in ("mean", "scatter"))
        width = mean_F.numel()
        if count < 0 or mean_F.shape != (width,) or scatter_FF.shape != (width, width):
            raise DataError(
                f"a mean of shape {tuple(mean_F.shape)} and a scatter of shape {tuple(scatter_FF.shape)}, of "
                f"{count} images, are no moments; make them again"
            )
        _check_scatter(mean_F, scatter_FF)
        self.count, self.mean_F, self.scatter_FF = count, mean_F, scatter_FF

    def mean(self) -> Float[Tensor, " F"]:
        """The mean.

        Raises:
            DataError: if there were no images.
        """
        if self.count == 0:
            raise DataError("there are no images to take features of; give at least two")
        return self.mean_F

    def covariance(self) -> Float[Tensor, "F F"]:
        """The unbiased covariance, scatter / (count - 1).

        Raises:
            DataError: for fewer than two vectors, which have none.
        """
        if self.count < 2:
            raise DataError(
                f"a covariance needs at least two images, but there {'is' if self.count == 1 else 'are'} "
                f"{self.count}; give more"
            )
        return self.scatter_FF / (self.count - 1)

    def _open(self, width: int) -> None:
        if self.count == 0:
            self.mean_F = torch.zeros(width, dtype=torch.float64)
            self.scatter_FF = torch.zeros(width, width, dtype=torch.float64)
        elif width != len(self.mean_F):
            raise DataError(
                f"features of width {width} meet features of width {len(self.mean_F)}; "
                "extract both sides with the same extractor"
            )

    def _shift(self, count: int, mean_F: Tensor) -> None:
        """Count vectors of another mean in; their scatter about it is still to be added."""
        total = self.count + count
        shift_F = mean_F - self.mean_F
        self.scatter_FF.addr_(shift_F, shift_F, alpha=self.count * count / total)
        self.mean_F += shift_F * (count / total)
        self.count = total


def _check_scatter(mean_F: Tensor, scatter_FF: Tensor) -> None:
    """Raise unless it could be one: finite, symmetric, and nowhere larger than its variances allow.

    Raises:
        DataError: saying what is wrong.
    """
    if not bool(mean_F.square().isfinite().all() and scatter_FF.square().isfinite().all()):
        raise DataError("a mean or covariance is not finite, or beyond all bounds; make them again")
    if len(mean_F) == 0:
        return
    variances_F = scatter_FF.diagonal()
    slack = _ROUNDING * float(variances_F.abs().max())
    deviations_F = variances_F.clamp_min(0).sqrt()
    most_FF = (1 + _ROUNDING) * deviations_F[:, None] * deviations_F + slack
    if bool((variances_F < -slack).any()) or bool((scatter_FF.abs() > most_FF).any()):
        raise DataError("a covariance has variances below zero, or is larger than they allow; make it again")
    if bool(((scatter_FF - scatter_FF.T).abs() > slack).any()):
        raise DataError("a covariance is not symmetric; make it again")
