"""Ridge regression in closed form, from sums over batches.

With the covariances S of features z and C of z with targets y, the linear map y = W z + b of the least
squared error plus ridge sum_f Var(z_f) |W_f|^2 solves (S + ridge diag S) W = C: features count as if they had
unit variance, and the offset b is free.
"""

import attrs
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from thalweg.devices import exact

_CONSTANT = 1e-12
"""A feature whose variance is less than this share of the largest one does not vary."""


@attrs.frozen(eq=False)
class LinearMap:
    """y = W z + b, in float64 on the CPU until it is moved.

    Attributes:
        weight: W.
        offset: b.
    """

    weight: Float64[Tensor, "F O"]
    offset: Float64[Tensor, " O"]

    def __call__(self, z: Float[Tensor, "*rows F"]) -> Float[Tensor, "*rows O"]:
        """The targets of these features, in float64."""
        z = exact(z)
        return z @ self.weight.to(z.device) + self.offset.to(z.device)


class RidgeSums:
    """Sums of features, targets and their products, in float64: F x F numbers for any number of rows."""

    def __init__(self) -> None:
        self._count = 0
        self._sums: dict[str, Tensor] = {}

    def update(self, z: Float[Tensor, "N F"], y: Float[Tensor, "N O"]) -> None:
        """Take rows of features and targets."""
        z, y = exact(z), exact(y)
        self._count += len(z)
        for name, sums in {"z": z.sum(0), "y": y.sum(0), "zz": z.mT @ z, "zy": z.mT @ y}.items():
            self._sums[name] = self._sums[name] + sums if name in self._sums else sums

    def solve(self, ridge: float) -> LinearMap:
        """The map.

        Args:
            ridge: in units of each feature's variance, above 0.
        """
        means = {name: sums.cpu() / self._count for name, sums in self._sums.items()}
        z, y = means["z"], means["y"]
        covariance = means["zz"] - torch.outer(z, z)
        variance = covariance.diagonal().clamp(min=0)
        fixed = variance <= _CONSTANT * variance.max()
        # A feature that is constant gets the weight 0, whatever rounding made of its covariances.
        cross = torch.where(fixed.unsqueeze(1), 0.0, means["zy"] - torch.outer(z, y))
        penalty = torch.where(fixed, 1.0, ridge * variance)
        weight = torch.linalg.solve(covariance + penalty.diag(), cross)
        return LinearMap(weight, y - z @ weight)
