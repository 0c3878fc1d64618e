"""GenEval's score: the share of images that keep their prompt, task by task, and the mean of the tasks."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import attrs
from jaxtyping import Float, Int
from torch import Tensor

from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.protocols import Better, Statistic
from thalweg.types import Features
from thalweg_eval.geneval.names import TASKS
from thalweg_eval.statistics.sums import Sums

_KEY = "verdicts"


@attrs.frozen
class GenEvalConfig:
    """Share of images that show what their prompt asks for, by the extractor ``geneval``; 0 to 1.

    The published protocol takes four images of each of the 553 prompts.
    """

    def build(self, facts: Facts) -> "GenEval":  # noqa: ARG002 - captions come with the images
        """The metric."""
        return GenEval()


class GenEval:
    """The metric ``geneval``: a number for each task that was asked, and their mean if all six were."""

    name = "geneval"
    better: Better = "higher"

    def statistics(self, count: int) -> Mapping[str, Callable[[], Statistic]]:  # noqa: ARG002 - all count alike
        """How often each task was asked and kept."""
        return {_KEY: partial(Sums, _verdicts)}

    def reference_statistics(self, count: int) -> Mapping[str, Callable[[], Statistic]]:  # noqa: ARG002
        """None."""
        return {}

    def __call__(
        self,
        samples: Mapping[str, Statistic],
        reference: Mapping[str, Statistic],  # noqa: ARG002 - there is none
    ) -> Mapping[str, float]:
        """The shares.

        Raises:
            DataError: if there were no samples.
        """
        asked, kept = cast(Sums, samples[_KEY]).sums().reshape(2, len(TASKS)).tolist()
        shares = {
            f"{self.name}_{task}": well / often
            for task, often, well in zip(TASKS, asked, kept, strict=True)
            if often
        }
        if len(shares) == len(TASKS):
            return {self.name: sum(shares.values()) / len(TASKS), **shares}
        return shares


def _verdicts(
    features: Features,
    labels: Int[Tensor, " N"] | None,  # noqa: ARG001 - captions say more
) -> Float[Tensor, "N numbers"]:
    if features.pooled.shape[1] != 2 * len(TASKS):
        raise ConfigError("the metric 'geneval' needs the extractor 'geneval'; choose it")
    return features.pooled.double()
