"""How often a classifier sees in a sample the class it was drawn for."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import attrs
from jaxtyping import Float, Int
from torch import Tensor

from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts
from thalweg.protocols import Better, Statistic
from thalweg.types import Features
from thalweg_eval.statistics.sums import Sums
from thalweg_eval.statistics.vectors import vectors

_KEY = "hits"


@attrs.frozen
class AccuracyConfig:
    """Share of samples that the extractor's classifier assigns to the class they were drawn for.

    It is bounded by the classifier: state its accuracy on real images beside it.
    """

    def build(self, facts: Facts) -> "Accuracy":
        """The metric.

        Raises:
            ConfigError: for unconditional data, whose samples are of no class.
        """
        if facts.classes is None:
            raise ConfigError("the metric 'accuracy' needs data with classes; leave it out for these data")
        return Accuracy()


class Accuracy:
    """The metric ``accuracy``, from 0 to 1; of equal logits, the first class counts as seen."""

    name = "accuracy"
    better: Better = "higher"

    def statistics(self, count: int) -> Mapping[str, Callable[[], Statistic]]:  # noqa: ARG002 - all count alike
        """The number of hits."""
        return {_KEY: partial(Sums, _hits)}

    def reference_statistics(self, count: int) -> Mapping[str, Callable[[], Statistic]]:  # noqa: ARG002
        """None: samples are judged by their labels alone."""
        return {}

    def __call__(
        self,
        samples: Mapping[str, Statistic],
        reference: Mapping[str, Statistic],  # noqa: ARG002 - there is none
    ) -> Mapping[str, float]:
        """The share.

        Raises:
            DataError: if there were no samples.
        """
        hits = cast(Sums, samples[_KEY])
        return {self.name: float(hits.sums()[0]) / hits.count}


def _hits(features: Features, labels: Int[Tensor, " M"] | None) -> Float[Tensor, "N 1"]:
    """1 where the class is the one that was asked for, else 0.

    Raises:
        ConfigError: without labels, or if the extractor is no classifier.
        DataError: if samples and labels do not pair off, or a logit is not finite.
    """
    if labels is None:
        raise ConfigError("the metric 'accuracy' needs the classes that the samples were drawn for")
    logits_NK = vectors(features, "logits")
    if len(logits_NK) != len(labels):
        raise DataError("samples and labels do not pair off; give one label per sample")
    return (logits_NK.argmax(1).cpu() == labels.cpu()).double()[:, None]
