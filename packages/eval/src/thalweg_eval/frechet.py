"""The Frechet distance between two sets of features, each seen as a Gaussian.

M. Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash equilibrium, 2017,
equation 6: |m_1 - m_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2)). It is called FID only in the features of
one particular network; elsewhere it is the Frechet distance in the features of whatever extracted them.
"""

from collections.abc import Iterable

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.types import Features
from thalweg_eval.moments import moments_of


@attrs.frozen
class FrechetDistanceConfig:
    """Frechet distance between Gaussians fitted to the pooled features; 0 is best, no upper end.

    It depends on the number of samples and of real images: state both beside it.
    """

    def build(self, facts: Facts) -> "FrechetDistance":  # noqa: ARG002 - any data will do
        """The metric."""
        return FrechetDistance()


class FrechetDistance:
    """The metric ``frechet_distance``, in squared units of the features."""

    name = "frechet_distance"

    def __call__(
        self,
        samples: Iterable[Features],
        reference: Iterable[Features],
        labels: Iterable[Tensor] | None,  # noqa: ARG002 - the distance does not ask for classes
    ) -> float:
        """The distance; each side is streamed through once.

        Raises:
            DataError: for fewer than two images a side, widths that differ, features not finite.
        """
        ours, real = moments_of(samples), moments_of(reference)
        return frechet_distance(ours.mean_F, ours.covariance(), real.mean_F, real.covariance())


def frechet_distance(
    mean_1: Float[Tensor, " F"],
    covariance_1: Float[Tensor, "F F"],
    mean_2: Float[Tensor, " G"],
    covariance_2: Float[Tensor, "G G"],
) -> float:
    """The squared 2-Wasserstein distance of two Gaussians, computed in float64.

    With S_i = L_i L_i^T, the matrix L_1^T S_2 L_1 = (L_1^T L_2)(L_1^T L_2)^T has the eigenvalues of
    S_1 S_2, so tr (S_1 S_2)^(1/2) is the sum of the singular values of L_1^T L_2. No root of a
    non-symmetric matrix is taken. Singular values carry an error of the order of the rounding unit;
    roots of the eigenvalues of the symmetric product would carry its square root in every direction
    that has no variance, such as all beyond the number of samples.

    Raises:
        DataError: if the widths differ.
    """
    if len(mean_1) != len(mean_2):
        raise DataError(
            f"features of width {len(mean_1)} cannot be compared with features of width {len(mean_2)}; "
            "extract both sides with the same extractor"
        )
    shift_F = mean_1.double() - mean_2.double()
    S_1, S_2 = covariance_1.double(), covariance_2.double()
    root_trace = torch.linalg.svdvals(_factor(S_1).T @ _factor(S_2)).sum()
    distance = shift_F.square().sum() + S_1.trace() + S_2.trace() - 2 * root_trace
    return max(float(distance), 0.0)  # rounding may leave it just below zero for equal sets


def _factor(covariance_FF: Float[Tensor, "F F"]) -> Float[Tensor, "F R"]:
    """L with L L^T = S, for a symmetric S without negative eigenvalues, of any rank.

    Cholesky is the fast way; it stops at a pivot that is not positive, as a covariance of fewer samples
    than features has. Then the eigenvectors serve, scaled by the roots of their eigenvalues.
    """
    factor_FF: Tensor
    factor_FF, failure = torch.linalg.cholesky_ex(covariance_FF)
    if int(failure):
        values_F, vectors_FF = torch.linalg.eigh(covariance_FF)
        factor_FF = vectors_FF * values_F.clamp_min(0).sqrt()
    return factor_FF
