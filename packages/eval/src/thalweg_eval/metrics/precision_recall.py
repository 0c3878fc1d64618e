"""Precision and recall: how many samples look real, and how much of the real is reached.

T. Kynkaanniemi et al., Improved precision and recall metric for assessing generative models, 2019: an
image counts if it lies within the ball around some image of the other side that reaches to that one's k-th
neighbour.
"""

from collections.abc import Callable, Mapping

import attrs
from attrs.validators import ge

from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.protocols import Better, Statistic
from thalweg_eval import fidelity
from thalweg_eval.statistics.both import KEY, both_ordered, check_both
from thalweg_eval.statistics.collected import Collected


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

    def build(self, facts: Facts) -> "PrecisionRecall":  # noqa: ARG002 - any data will do
        """The metric."""
        return PrecisionRecall(self)


class PrecisionRecall:
    """The metric ``precision_recall``: the numbers ``precision`` and ``recall``."""

    name = "precision_recall"
    better: Better = "higher"

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
        return {KEY: Collected}

    def reference_statistics(self, count: int) -> Mapping[str, Callable[[], Statistic]]:
        """All features of the real images."""
        return self.statistics(count)

    def check(self, samples: Mapping[str, Statistic], reference: Mapping[str, Statistic]) -> None:
        """Look for torch-fidelity, and compare widths.

        Raises:
            DataError: if widths differ.
            PluginError: if torch-fidelity cannot be imported.
        """
        fidelity.check()
        check_both(samples, reference)

    def __call__(
        self, samples: Mapping[str, Statistic], reference: Mapping[str, Statistic]
    ) -> Mapping[str, float]:
        """Both.

        Raises:
            DataError: if widths differ.
            PluginError: if torch-fidelity is not installed.
        """
        ours, real = both_ordered(samples, reference)
        precision, recall = fidelity.precision_recall(
            ours, real, neighbours=self._config.neighbours, block=self._config.block
        )
        return {"precision": precision, "recall": recall}
