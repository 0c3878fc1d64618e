"""How often a classifier finds in a sample the class it was generated for."""

import attrs
from jaxtyping import Float, Int
from torch import Tensor

from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts
from thalweg.types import Features
from thalweg_eval.metrics.means import SampleMean
from thalweg_eval.statistics.vectors import vectors


@attrs.frozen
class AccuracyConfig:
    """Share of samples that the extractor's classifier assigns to the class they were generated for.

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


class Accuracy(SampleMean):
    """The metric ``accuracy``, from 0 to 1; of equal logits, the first class counts as predicted."""

    name, key = "accuracy", "hits"

    def of_each(self, features: Features, labels: Int[Tensor, " M"] | None) -> Float[Tensor, "N 1"]:
        """1 where the class is the one that was requested, else 0.

        Raises:
            ConfigError: without labels, or if the extractor is no classifier.
            DataError: if samples and labels do not pair off, or a logit is not finite.
        """
        if labels is None:
            raise ConfigError("the metric 'accuracy' needs the classes that the samples were generated for")
        logits_NK = vectors(features, "logits")
        if len(logits_NK) != len(labels):
            raise DataError("samples and labels do not pair off; give one label per sample")
        return (logits_NK.argmax(1).cpu() == labels.cpu()).double()[:, None]
