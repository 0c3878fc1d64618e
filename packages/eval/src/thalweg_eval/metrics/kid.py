"""KID: the squared maximum mean discrepancy with a polynomial kernel, which has no bias.

M. Binkowski et al., Demystifying MMD GANs, 2018, section 4: the kernel is (x . y / F + 1)^3.
"""

from collections.abc import Callable, Mapping

import attrs
from attrs.validators import ge, gt, optional

from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.integers import AT_ONCE, SAMPLES, SEED_OF_NUMPY, Integers
from thalweg.protocols import Better, Statistic
from thalweg_eval.fidelity import kernel_distance
from thalweg_eval.statistics.both import KEY, both_ordered
from thalweg_eval.statistics.collected import Collected


@attrs.frozen
class KidConfig:
    """Kernel distance in the pooled features; 0 on average for equal distributions, and may be below.

    Computed by torch-fidelity. In Inception's features with the defaults it is the KID that is published.

    Attributes:
        subsets: how often a subset of either side is drawn.
        subset_size: images a subset; neither side may have fewer.
        degree: of the polynomial.
        gamma: factor of the dot product; 1 / F by default.
        coefficient: what is added to it.
        seed: of the subsets.
    """

    subsets: int = attrs.field(default=100, validator=AT_ONCE)
    subset_size: int = attrs.field(default=1000, validator=Integers(2, SAMPLES.high))
    degree: int = attrs.field(default=3, validator=ge(1))
    gamma: float | None = attrs.field(default=None, validator=optional(gt(0.0)))
    coefficient: float = 1.0
    seed: int = attrs.field(default=2020, validator=SEED_OF_NUMPY)

    def build(self, facts: Facts) -> "Kid":  # noqa: ARG002 - any data will do
        """The metric."""
        return Kid(self)


class Kid:
    """The metric ``kid``, with the standard deviation over subsets."""

    name = "kid"
    better: Better = "lower"

    def __init__(self, config: KidConfig) -> None:
        self._config = config

    def statistics(self, count: int) -> Mapping[str, Callable[[], Statistic]]:
        """All features.

        Raises:
            DataError: if there are fewer images than a subset takes.
        """
        size = self._config.subset_size
        if count < size:
            raise DataError(
                f"KID draws subsets of {size} images, but there are {count}; give more, or set the metric's "
                f"subset_size to at most {count}"
            )
        return {KEY: Collected}

    def reference_statistics(self, count: int) -> Mapping[str, Callable[[], Statistic]]:
        """All features of the real images."""
        return self.statistics(count)

    def __call__(
        self, samples: Mapping[str, Statistic], reference: Mapping[str, Statistic]
    ) -> Mapping[str, float]:
        """Mean and standard deviation over the subsets.

        Raises:
            DataError: if widths differ.
            PluginError: if torch-fidelity is not installed.
        """
        ours, real = both_ordered(samples, reference)
        config = self._config
        mean, deviation = kernel_distance(
            ours,
            real,
            subsets=config.subsets,
            subset_size=config.subset_size,
            degree=config.degree,
            gamma=config.gamma,
            coefficient=config.coefficient,
            seed=config.seed,
        )
        return {self.name: mean, f"{self.name}_std": deviation}
