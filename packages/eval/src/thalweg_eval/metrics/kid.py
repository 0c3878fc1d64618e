"""KID: the squared maximum mean discrepancy with a polynomial kernel, which has no bias.

M. Binkowski et al., Demystifying MMD GANs, 2018, section 4: the kernel is (x . y / F + 1)^3.
"""

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from attrs.validators import ge, gt, optional
from jaxtyping import Float
from torch import Tensor

from thalweg.arguments import AT_ONCE, SAMPLES, SEED_OF_NUMPY, Integers
from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.protocols import Better, Statistic
from thalweg_eval.fidelity import formula
from thalweg_eval.metrics.comparison import FeatureComparison


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

    def build(self, _: Facts) -> "Kid":
        """The metric."""
        return Kid(self)


class Kid(FeatureComparison):
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
        return super().statistics(count)

    def check(self, samples: Mapping[str, Statistic], reference: Mapping[str, Statistic]) -> None:
        """Look for torch-fidelity, and compare widths.

        Raises:
            DataError: if widths differ.
            PluginError: if torch-fidelity cannot be imported.
        """
        _formula()
        super().check(samples, reference)

    def compare(self, ours: Float[Tensor, "N F"], real: Float[Tensor, "M F"]) -> Mapping[str, float]:
        """Mean and standard deviation over the subsets."""
        config = self._config
        found = _formula()(
            ours,
            real,
            kid_subsets=config.subsets,
            kid_subset_size=config.subset_size,
            kid_kernel="poly",
            kid_kernel_poly_degree=config.degree,
            kid_kernel_poly_gamma=config.gamma,
            kid_kernel_poly_coef0=config.coefficient,
            rng_seed=config.seed,
            verbose=False,
        )
        name = "kernel_inception_distance"
        return {self.name: found[f"{name}_mean"], f"{self.name}_std": found[f"{name}_std"]}


def _formula() -> Any:
    """Mean and standard deviation over subsets of the unbiased squared MMD with a polynomial kernel."""
    return formula("metric_kid", "kid_features_to_metric")
