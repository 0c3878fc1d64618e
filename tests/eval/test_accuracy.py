"""The share of samples seen as what they were generated for."""

import pytest
import torch
from torch import Tensor

from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts
from thalweg.protocols import Metric
from thalweg.types import Features
from thalweg_authoring.kinds.metrics import numbers
from thalweg_eval.metrics.accuracy import Accuracy, AccuracyConfig

LOGITS = torch.tensor([[3.0, 1, 2], [0, 5, 1], [0, 1, 9], [7, 1, 7], [1, 2, 3]])
LABELS = torch.tensor([0, 1, 2, 0, 0])


def features(logits: Tensor | None) -> Features:
    return Features(torch.zeros(5 if logits is None else len(logits), 2), logits)


@pytest.fixture
def metric() -> Accuracy:
    return AccuracyConfig().build(Facts(shape=(1, 8, 8), classes=3))


@pytest.mark.parametrize("size", [1, 2, 5])
def test_it_is_the_share_of_hits_over_all_batches(metric: Accuracy, size: int) -> None:
    assert isinstance(metric, Metric)
    assert metric.name == "accuracy"
    samples = [features(part) for part in LOGITS.split(size)]
    assert numbers(metric, samples, labels=LABELS.split(size)) == {"accuracy": 4 / 5}
    assert not metric.reference_statistics(9)


def test_what_cannot_be_scored_is_refused(metric: Accuracy) -> None:
    with pytest.raises(ConfigError, match="needs data with classes"):
        AccuracyConfig().build(Facts(shape=(1, 8, 8)))
    with pytest.raises(ConfigError, match="classes that the samples were generated for"):
        numbers(metric, [features(LOGITS)])
    with pytest.raises(ConfigError, match="this extractor is no classifier"):
        numbers(metric, [features(None)], labels=[LABELS])
    for labels in (LABELS[:4], torch.cat([LABELS, LABELS])):
        with pytest.raises(DataError, match="do not pair off"):
            numbers(metric, [features(LOGITS)], labels=[labels])
    with pytest.raises(DataError, match="no samples"):
        numbers(metric, [])
    with pytest.raises(DataError, match="not finite"):
        numbers(metric, [features(LOGITS * float("nan"))], labels=[LABELS])
