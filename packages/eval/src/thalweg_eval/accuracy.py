"""How often a classifier sees in a sample the class it was drawn for."""

from collections.abc import Iterable
from itertools import zip_longest

import attrs
import torch
from torch import Tensor

from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts
from thalweg.types import Features


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
    """The metric ``accuracy``, from 0 to 1."""

    name = "accuracy"

    def __call__(
        self,
        samples: Iterable[Features],
        reference: Iterable[Features],  # noqa: ARG002 - samples are judged by their labels alone
        labels: Iterable[Tensor] | None,
    ) -> float:
        """The share; of equal logits, the first class counts as seen.

        Raises:
            ConfigError: without labels or if the extractor is no classifier.
            DataError: if samples and labels do not pair off, or a logit is not finite.
        """
        if labels is None:
            raise ConfigError("the metric 'accuracy' needs the classes that the samples were drawn for")
        right, total = 0, 0
        for features, labels_N in zip_longest(samples, labels):
            if features is None or labels_N is None or len(features.pooled) != len(labels_N):
                raise DataError("samples and labels do not pair off; give one label per sample")
            right += _hits(features.logits, labels_N)
            total += len(labels_N)
        if total == 0:
            raise DataError("there are no samples to judge; give at least one")
        return right / total


def _hits(logits: Tensor | None, labels_N: Tensor) -> int:
    if logits is None:
        raise ConfigError("the metric 'accuracy' needs an extractor that is a classifier; choose another")
    if not bool(torch.isfinite(logits).all()):
        raise DataError("some logits are not finite; look for samples that have diverged")
    return int((logits.argmax(1).cpu() == labels_N.cpu()).sum())
