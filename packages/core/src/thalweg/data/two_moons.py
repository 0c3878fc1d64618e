"""Two moons: points of the plane on two interleaved half circles, which scikit-learn draws.

The upper moon is (cos a, sin a) and the lower (1 - cos a, 1/2 - sin a), with a from 0 to pi.
"""

import hashlib
import math

import attrs
import torch
from attrs.validators import and_, ge, gt, le, lt
from jaxtyping import Float
from torch import Tensor

from thalweg.data.holdout import held_out
from thalweg.data.split import TensorSplit
from thalweg.facts import Facts
from thalweg.integers import SEED_OF_NUMPY

_FACTS = Facts(shape=(2,), classes=2)

# Of the moons without noise, a uniform: means and variances of both coordinates.
_MEANS = (1 / 2, 1 / 4)
_VARIANCES = (3 / 4, 9 / 16 - 1 / math.pi)


class NoView:
    """Samples that are no images."""

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
        # scikit-learn takes a second to import; only who draws the points waits for it.
        from sklearn.datasets import make_moons

        points, labels = make_moons(self.samples, noise=self.noise, random_state=self.seed)
        # By the distribution's own moments, so that other seeds and sizes are points of the same plane.
        mean = torch.tensor(_MEANS, dtype=torch.float64)
        std = torch.tensor(_VARIANCES, dtype=torch.float64).add(self.noise**2).sqrt()
        clean_N2 = ((torch.from_numpy(points) - mean) / std).to(torch.float32)
        labels_N = torch.from_numpy(labels).to(torch.int64)
        held_out_N = held_out(labels_N, self.validation)
        return TwoMoons(
            facts=self.facts,
            train=TensorSplit(clean_N2[~held_out_N], labels_N[~held_out_N]),
            validation=TensorSplit(clean_N2[held_out_N], labels_N[held_out_N]),
            mean=mean,
            std=std,
        )


@attrs.frozen(eq=False)
class TwoMoons:
    """The points, in two parts.

    Attributes:
        facts: shape (2,) and 2 classes, 0 the upper moon and 1 the lower.
        train: what is trained on.
        validation: what is held out.
        mean: of the moons as they are drawn; a sample x stands for the point mean + std x.
        std: their standard deviation, noise included.
    """

    facts: Facts
    train: TensorSplit
    validation: TensorSplit
    mean: Float[Tensor, "2"]
    std: Float[Tensor, "2"]

    @property
    def identity(self) -> str:
        """A hash of all samples and labels of both parts."""
        digest = hashlib.sha256()
        for part in (self.train, self.validation):
            digest.update(part.clean.numpy().tobytes())
            digest.update(b"" if part.labels_N is None else part.labels_N.numpy().tobytes())
        return f"two_moons:{digest.hexdigest()}"

    def images(self, x: Float[Tensor, "N *shape"]) -> None:
        """None: points are no images."""
