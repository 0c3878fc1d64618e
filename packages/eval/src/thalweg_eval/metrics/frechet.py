"""The Frechet distance between two sets of features, each taken as a Gaussian.

M. Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash equilibrium, 2017,
equation 6: |m_1 - m_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2)). It is called FID only in the features of
one particular network; elsewhere it is the Frechet distance in the features of whatever extracted them.
In that network's spatial features it is sFID (C. Nash et al., Generating images with sparse
representations, 2021).
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.protocols import Better, Statistic
from thalweg_eval.statistics.moments import FeatureMoments


@attrs.frozen
class FrechetDistanceConfig:
    """Frechet distance between Gaussians fitted to the pooled features; 0 is best, no upper end.

    In Inception's features it is the FID. It depends on the number of samples and of real images: state
    both beside it.
    """

    def build(self, _: Facts) -> "FrechetDistance":
        """The metric."""
        return FrechetDistance("frechet_distance", "pooled")


@attrs.frozen
class SpatialFrechetDistanceConfig:
    """Frechet distance between Gaussians fitted to features that keep places apart; 0 is best.

    In Inception's spatial features it is sFID.
    """

    def build(self, _: Facts) -> "FrechetDistance":
        """The metric."""
        return FrechetDistance("spatial_frechet_distance", "spatial")


class FrechetDistance:
    """The metric, in squared units of the features; each side is streamed through once.

    Args:
        name: its name.
        kind: the features' vectors that are meant: ``pooled`` or ``spatial``.
    """

    better: Better = "lower"

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self._kind = kind
        self._key = f"moments:{kind}"

    def statistics(self, _count: int) -> Mapping[str, Callable[[], Statistic]]:
        """Moments."""
        return {self._key: partial(FeatureMoments, self._kind)}

    def reference_statistics(self, count: int) -> Mapping[str, Callable[[], Statistic]]:
        """The same of the real images."""
        return self.statistics(count)

    def check(self, samples: Mapping[str, Statistic], reference: Mapping[str, Statistic]) -> None:
        """Compare the widths of both sides' features.

        Raises:
            DataError: if they differ, or a reference is there and has no covariance.
        """
        if self._key in reference:
            ours, real = (cast(FeatureMoments, side[self._key]) for side in (samples, reference))
            _check_widths(ours.mean(), real.mean())
            real.covariance()

    def __call__(
        self, samples: Mapping[str, Statistic], reference: Mapping[str, Statistic]
    ) -> Mapping[str, float]:
        """The distance.

        Raises:
            DataError: for fewer than two images a side or widths that differ.
        """
        ours, real = (cast(FeatureMoments, side[self._key]) for side in (samples, reference))
        return {self.name: frechet_distance(ours.mean(), ours.covariance(), real.mean(), real.covariance())}


def frechet_distance(
    mean_1: Float[Tensor, " F"],
    covariance_1: Float[Tensor, "F F"],
    mean_2: Float[Tensor, " G"],
    covariance_2: Float[Tensor, "G G"],
) -> float:
    """The squared 2-Wasserstein distance of two Gaussians, computed in float64.

    Raises:
        DataError: if the widths differ.
    """
    _check_widths(mean_1, mean_2)
    shift_F = mean_1.double() - mean_2.double()
    S_1, S_2 = covariance_1.double(), covariance_2.double()
    distance = shift_F.square().sum() + S_1.trace() + S_2.trace() - 2 * _root_trace(S_1, S_2)
    return max(float(distance), 0.0)  # rounding may leave it just below zero for equal sets


def _check_widths(mean_1: Float[Tensor, " F"], mean_2: Float[Tensor, " G"]) -> None:
    if len(mean_1) != len(mean_2):
        raise DataError(
            f"features of width {len(mean_1)} cannot be compared with features of width {len(mean_2)}; "
            "extract both sides with the same extractor"
        )


def _root_trace(S_1: Float[Tensor, "F F"], S_2: Float[Tensor, "F F"]) -> Float[Tensor, ""]:
    """tr (S_1 S_2)^(1/2).

    With S_1 = L L^T, the symmetric matrix L^T S_2 L has the eigenvalues of S_1 S_2, so the trace is the sum
    of their roots. No root of a matrix is taken, and no eigenvector.

    An eigenvalue is known up to the rounding unit e times the largest one, so the root of one that is itself
    so small is off by up to e^(1/2) = 1.5e-8 of the largest root. Directions in which a side has no variance
    at all, such as all beyond the number of its samples, would each bring such an error; they are left out.
    """
    alive_F = (S_1.diagonal() > 0) & (S_2.diagonal() > 0)  # a feature that never varies has no share
    if not bool(alive_F.all()):
        S_1, S_2 = (S[alive_F][:, alive_F] for S in (S_1, S_2))
    factor_FF: Tensor
    factor_FF, failure = torch.linalg.cholesky_ex(S_1)
    if not int(failure) and len(S_1):
        values_F: Tensor = torch.linalg.eigvalsh(factor_FF.T @ S_2 @ factor_FF)
        if float(values_F[0]) > _zero(values_F) or not int(torch.linalg.cholesky_ex(S_2).info):
            return values_F.clamp_min(0).sqrt().sum()
    # S_2 = K K^T as well, and (L^T K)(L^T K)^T has no more rows than the rank of either.
    product = _factor(S_1).T @ _factor(S_2)
    gram = product @ product.T if product.shape[0] <= product.shape[1] else product.T @ product
    roots_R: Tensor = torch.linalg.eigvalsh(gram).clamp_min(0).sqrt()
    return roots_R.sum()


def _factor(S: Float[Tensor, "F F"]) -> Float[Tensor, "F R"]:
    """L with L L^T = S and as many columns as S has rank, for a symmetric S without negative eigenvalues.

    Cholesky is the fast way; it stops at a pivot that is not positive. Then the eigenvectors serve, scaled by
    the roots of their eigenvalues; those within rounding of zero are no directions of S.
    """
    factor_FF: Tensor
    factor_FF, failure = torch.linalg.cholesky_ex(S)
    if not int(failure):
        return factor_FF
    vectors_FF: Tensor
    values_F, vectors_FF = torch.linalg.eigh(S)
    kept_F = values_F > _zero(values_F)
    thin_FR: Tensor = vectors_FF[:, kept_F] * values_F[kept_F].sqrt()
    return thin_FR


def _zero(values_F: Float[Tensor, " F"]) -> float:
    """What rounding makes of an eigenvalue of zero, beside others in ascending order."""
    return len(values_F) * torch.finfo(torch.float64).eps * float(values_F[-1])
