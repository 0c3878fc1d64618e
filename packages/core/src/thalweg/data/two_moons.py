"""Two moons: points of the plane on two interleaved half circles, those of scikit-learn's ``make_moons``.

The upper moon is (cos a, sin a) and the lower (1 - cos a, 1/2 - sin a), with a from 0 to pi.
"""

import math

import attrs
import numpy as np
import torch
from attrs.validators import and_, ge, gt, le, lt
from jaxtyping import Float, Int64
from torch import Tensor

from thalweg.arguments import SEED_OF_NUMPY
from thalweg.data.split import InMemory, in_two
from thalweg.facts import Facts

_FACTS = Facts(shape=(2,), classes=2)

# Of the moons without noise, a uniform: means and variances of both coordinates.
_MEANS = (1 / 2, 1 / 4)
_VARIANCES = (3 / 4, 9 / 16 - 1 / math.pi)


class NoView:
    """How samples look that are points and no images."""

    def images(self, x: Float[Tensor, "N *shape"]) -> None:
        """None."""


@attrs.frozen
class TwoMoonsConfig:
    """Two moons in the plane, of mean 0 and variance 1 in each coordinate; the classes are the moons.

    Attributes:
        samples: how many points in all, one half of each moon.
        noise: standard deviation of their distance from the moons, before standardising.
        validation: share of each class that is held out, at least one sample.
        seed: of the points.
    """

    samples: int = attrs.field(default=4_000, validator=and_(ge(4), le(10**7)))
    noise: float = attrs.field(default=0.05, validator=and_(ge(0.0), le(10.0)))
    validation: float = attrs.field(default=0.2, validator=and_(gt(0.0), lt(1.0)))
    seed: int = attrs.field(default=0, validator=SEED_OF_NUMPY)

    @property
    def facts(self) -> Facts:
        """Shape and classes, without drawing anything."""
        return _FACTS

    def view(self) -> NoView:
        """How samples look: they are no images."""
        return NoView()

    def build(self) -> "TwoMoons":
        """Draw the points and split them."""
        points_N2, labels_N = _moons(self.samples, self.noise, self.seed)
        # By the distribution's own moments, so that other seeds and sizes are points of the same plane.
        mean = torch.tensor(_MEANS, dtype=torch.float64)
        std = torch.tensor(_VARIANCES, dtype=torch.float64).add(self.noise**2).sqrt()
        clean_N2 = ((points_N2 - mean) / std).to(torch.float32)
        return TwoMoons(_FACTS, *in_two(clean_N2, labels_N, self.validation), mean=mean, std=std)


@attrs.frozen(eq=False)
class TwoMoons(InMemory, NoView):
    """The points, of shape (2,) in 2 classes, 0 the upper moon and 1 the lower.

    Attributes:
        mean: of the moons as they are drawn; a sample x stands for the point mean + std x.
        std: their standard deviation, noise included.
    """

    mean: Float[Tensor, "2"]
    std: Float[Tensor, "2"]

    kind = "two_moons"


def _moons(count: int, noise: float, seed: int) -> tuple[Float[Tensor, "N 2"], Int64[Tensor, " N"]]:
    """Points, float64, and the moon of each.

    In the order of scikit-learn's draws, but without importing it, which takes every process a second.
    """
    draws = np.random.RandomState(seed)
    upper, lower = (np.linspace(0, np.pi, of) for of in (count // 2, count - count // 2))
    x = np.concatenate([np.cos(upper), 1 - np.cos(lower)])
    y = np.concatenate([np.sin(upper), 1 - np.sin(lower) - 0.5])
    order = np.arange(count)
    draws.shuffle(order)
    points = np.stack([x, y], axis=1)[order] + draws.normal(scale=noise, size=(count, 2))
    return torch.from_numpy(points), torch.from_numpy((order >= count // 2).astype(np.int64))
