"""Judges samples of digits by a small classifier trained on the real ones."""

from collections.abc import Callable, Mapping, Sequence

import attrs
import torch
from jaxtyping import UInt8
from torch import Tensor

from thalweg.config import component
from thalweg.plugins import build_component
from thalweg.protocols import Dataset, Metric, Statistic
from thalweg.types import Features

DISTANCE = "Frechet distance in the features of a small classifier"


@attrs.frozen
class Scores:
    """What the judge says of some images.

    Attributes:
        accuracy: share that the classifier takes for the class they were drawn for.
        frechet_distance: to the training digits, in the classifier's features. Not an FID.
        count: images judged.
    """

    accuracy: float
    frechet_distance: float
    count: int


class Judge:
    """The classifier and both metrics.

    Args:
        dataset: the digits; the classifier is trained on their training part.
        seed: of the classifier.

    Attributes:
        name: what the classifier is called.
        real: scores of the held-out real digits, which no sample should be expected to beat.
    """

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self._extractor = build_component(
            component("extractor", {"type": "small_classifier", "seed": seed}), dataset.facts
        )
        train, train_labels = real_digits(dataset, "train")
        self._extractor.fit(train, train_labels, trained_on="digits")
        self._metrics: list[Metric] = [
            build_component(component("metric", name), dataset.facts)
            for name in ("frechet_distance", "accuracy")
        ]
        self._reference: dict[str, Statistic] = {}
        for metric in self._metrics:
            self._reference |= _filled(
                metric.reference_statistics(len(train)), self._extractor(train), train_labels
            )
        self.name: str = self._extractor.name
        held_out, held_out_labels = real_digits(dataset, "validation")
        self.real = self(held_out, held_out_labels)

    def __call__(self, images: UInt8[Tensor, "N 1 H W"], labels: Tensor | Sequence[int]) -> Scores:
        """Judge images that were drawn for these labels."""
        features = self._extractor(images)
        numbers: dict[str, float] = {}
        for metric in self._metrics:
            seen = _filled(metric.statistics(len(images)), features, torch.as_tensor(labels))
            numbers |= metric(seen, self._reference)
        return Scores(**numbers, count=len(images))


def _filled(
    makers: Mapping[str, Callable[[], Statistic]], features: Features, labels: Tensor
) -> dict[str, Statistic]:
    """The statistics of all images, which are few."""
    filled = {key: make() for key, make in makers.items()}
    for statistic in filled.values():
        statistic.update(features, labels, range(len(features.pooled)))
    return filled


def real_digits(dataset: Dataset, part: str) -> tuple[UInt8[Tensor, "N 1 H W"], Tensor]:
    """All images and labels of the ``train`` or ``validation`` part."""
    split = dataset.train if part == "train" else dataset.validation
    batch = split.batch(range(len(split)), torch.Generator())
    images, labels = dataset.images(batch.clean), batch.condition.labels
    if images is None or labels is None:
        raise TypeError("the quick start's data set holds labelled images")
    return images, labels
