"""How close samples come to the training images: whether a model remembers instead of making."""

from collections.abc import Callable, Mapping

import attrs
import torch
from attrs.validators import ge
from jaxtyping import Float
from torch import Tensor

from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.protocols import Better, Statistic
from thalweg_eval.metrics.comparison import FeatureComparison

_SHARES = {"p01": 0.01, "p05": 0.05, "p50": 0.5}


@attrs.frozen
class NearestNeighbourConfig:
    """Distance from each sample to the nearest reference image in the pooled features, Euclidean.

    The reference must be the training images. Beside it stands the same for the training images themselves,
    each without itself: samples much closer than that are copies, and ``closer`` is the share of samples
    below its 1st percentile.

    Attributes:
        block: samples and training images whose distances are held at a time.
    """

    block: int = attrs.field(default=2000, validator=ge(1))

    def build(self, _: Facts) -> "NearestNeighbour":
        """The metric."""
        return NearestNeighbour(self.block)


class NearestNeighbour(FeatureComparison):
    """The metric ``nearest_neighbour``: means and percentiles, of samples and of the training images."""

    name = "nearest_neighbour"
    better: Better = None

    def __init__(self, block: int) -> None:
        self._block = block

    def reference_statistics(self, count: int) -> Mapping[str, Callable[[], Statistic]]:
        """All features of the training images.

        Raises:
            DataError: if there are fewer than two.
        """
        if count < 2:
            raise DataError(f"nearest neighbours are sought among two images or more, but there are {count}")
        return super().reference_statistics(count)

    def compare(self, ours: Float[Tensor, "N F"], real: Float[Tensor, "M F"]) -> Mapping[str, float]:
        """The numbers."""
        ours_N = nearest_distances(ours, real, self._block, itself=False)
        real_M = nearest_distances(real, real, self._block, itself=True)
        closer = float((ours_N < real_M.quantile(_SHARES["p01"])).double().mean())
        return {
            **_summary(self.name, ours_N),
            **_summary(f"{self.name}_real", real_M),
            f"{self.name}_closer": closer,
        }


def nearest_distances(
    of: Float[Tensor, "N F"], among: Float[Tensor, "M F"], block: int, *, itself: bool
) -> Float[Tensor, " N"]:
    """Distance from each vector to the nearest of others, in float64, a block of both sides at a time.

    At least one vector must be left to be nearest.

    Args:
        of: the vectors.
        among: the others.
        block: how many of each make a block.
        itself: whether both are the same set, so that vector i is left out for vector i.
    """
    found_N = torch.full((len(of),), -1, dtype=torch.int64)
    smallest_N = torch.full((len(of),), torch.inf, dtype=torch.float64)
    for row in range(0, len(of), block):
        of_nF = of[row : row + block].double()
        rows = slice(row, row + len(of_nF))
        for column in range(0, len(among), block):
            among_mF = among[column : column + block].double()
            squares_nm = among_mF.square().sum(1) - 2 * (
                of_nF @ among_mF.T
            )  # less the square of its own length
            if itself and row == column:
                squares_nm.fill_diagonal_(torch.inf)
            least_n, place_n = squares_nm.min(1)
            nearer_n = least_n < smallest_N[rows]
            found_N[rows] = torch.where(nearer_n, place_n + column, found_N[rows])
            smallest_N[rows] = torch.where(nearer_n, least_n, smallest_N[rows])
    # From the difference of the vectors, since the products above lose the digits of a small distance.
    distances = [
        (of[row : row + block].double() - among[found_N[row : row + block]].double()).norm(dim=1)
        for row in range(0, len(of), block)
    ]
    return torch.cat(distances)


def _summary(name: str, distances_N: Tensor) -> dict[str, float]:
    shares = torch.tensor(list(_SHARES.values()), dtype=torch.float64)
    found = distances_N.quantile(shares).tolist()
    percentiles = {f"{name}_{key}": value for key, value in zip(_SHARES, found, strict=True)}
    return {name: float(distances_N.mean()), **percentiles}
