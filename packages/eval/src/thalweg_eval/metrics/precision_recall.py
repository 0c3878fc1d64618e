"""Precision and recall: how many samples look real, and how much of the real is reached.

T. Kynkaanniemi et al., Improved precision and recall metric for assessing generative models, 2019: an
image counts if it lies within the ball around some image of the other side that reaches to that one's k-th
neighbour.
"""

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from attrs.validators import ge
from jaxtyping import Float
from torch import Tensor

from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.protocols import Statistic
from thalweg_eval.fidelity import formula
from thalweg_eval.metrics.comparison import FeatureComparison


@attrs.frozen
class PrecisionRecallConfig:
    """Precision and recall in the pooled features, each from 0 to 1; computed by torch-fidelity.

    Both rise with the number of images, so state the numbers of samples and of real images.

    Attributes:
        neighbours: k, 3 as in the paper and by the ADM evaluator, 5 by dgm-eval.
        block: rows of the matrix of distances that are held at a time.
    """

    neighbours: int = attrs.field(default=3, validator=ge(1))
    block: int = attrs.field(default=1000, validator=ge(1))

    def build(self, _: Facts) -> "PrecisionRecall":
        """The metric."""
        return PrecisionRecall(self)


class PrecisionRecall(FeatureComparison):
    """The metric ``precision_recall``: the numbers ``precision`` and ``recall``."""

    name = "precision_recall"

    def __init__(self, config: PrecisionRecallConfig) -> None:
        self._config = config

    def statistics(self, count: int) -> Mapping[str, Callable[[], Statistic]]:
        """All features.

        Raises:
            DataError: if an image has too few neighbours.
        """
        if count <= self._config.neighbours:
            raise DataError(
                f"precision and recall look for {self._config.neighbours} neighbours of every image, but "
                f"there are {count} images; give more"
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
        """Both."""
        found = _formula()(
            ours,
            real,
            prc_neighborhood=self._config.neighbours,
            prc_batch_size=self._config.block,
            save_cpu_ram=True,
            verbose=False,
        )
        return {name: found[name] for name in ("precision", "recall")}


def _formula() -> Any:
    """Precision and recall by the k-nearest-neighbour manifolds, a block of rows of distances at a time."""
    return formula("metric_prc", "prc_features_to_metric")
