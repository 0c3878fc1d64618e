"""GenEval's score: the share of images that keep their prompt, task by task, and the mean of the tasks."""

from collections.abc import Mapping

import attrs
from jaxtyping import Float, Int
from torch import Tensor

from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.types import Features
from thalweg_eval.geneval.names import TASKS
from thalweg_eval.metrics.means import SampleMean


@attrs.frozen
class GenEvalConfig:
    """Share of images that show what their prompt asks for, by the extractor ``geneval``; 0 to 1.

    The published protocol takes four images of each of the 553 prompts.
    """

    def build(self, _: Facts) -> "GenEval":
        """The metric."""
        return GenEval()


class GenEval(SampleMean):
    """The metric ``geneval``: a number for each task that was asked, and their mean if all six were."""

    name, key = "geneval", "verdicts"

    def of_each(self, features: Features, _labels: Int[Tensor, " N"] | None) -> Float[Tensor, "N numbers"]:
        """For each task whether it was asked, and whether it was kept.

        Raises:
            ConfigError: the features are those of another encoder.
        """
        if features.pooled.shape[1] != 2 * len(TASKS):
            raise ConfigError("the metric 'geneval' needs the extractor 'geneval'; choose it")
        return features.pooled.double()

    def of_all(self, sums: Float[Tensor, " numbers"], _count: int) -> Mapping[str, float]:
        """The shares."""
        asked, kept = sums.reshape(2, len(TASKS)).tolist()
        shares = {
            f"{self.name}_{task}": well / often
            for task, often, well in zip(TASKS, asked, kept, strict=True)
            if often
        }
        if len(shares) == len(TASKS):
            return {self.name: sum(shares.values()) / len(TASKS), **shares}
        return shares
