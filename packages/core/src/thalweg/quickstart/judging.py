"""Judges samples of digits by a small classifier trained on the real ones."""

from collections.abc import Sequence

import attrs
import torch
from jaxtyping import UInt8
from torch import Tensor

from thalweg.config import component
from thalweg.protocols import Dataset

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
        self._extractor = component("extractor", {"type": "small_classifier", "seed": seed}).build(
            dataset.facts
        )
        train, train_labels = real_digits(dataset, "train")
        self._extractor.fit(train, train_labels, trained_on="digits")
        self._distance = component("metric", "frechet_distance").build(dataset.facts)
        self._accuracy = component("metric", "accuracy").build(dataset.facts)
        self._reference = [self._extractor(train)]
        self.name: str = self._extractor.name
        held_out, held_out_labels = real_digits(dataset, "validation")
        self.real = self(held_out, held_out_labels)

    def __call__(self, images: UInt8[Tensor, "N 1 H W"], labels: Tensor | Sequence[int]) -> Scores:
        """Judge images that were drawn for these labels."""
        features = [self._extractor(images)]
        wanted = [torch.as_tensor(labels)]
        return Scores(
            accuracy=self._accuracy(features, self._reference, wanted),
            frechet_distance=self._distance(features, self._reference, None),
            count=len(images),
        )


def real_digits(dataset: Dataset, part: str) -> tuple[UInt8[Tensor, "N 1 H W"], Tensor]:
    """All images and labels of the ``train`` or ``validation`` part."""
    split = dataset.train if part == "train" else dataset.validation
    batch = split.batch(range(len(split)), torch.Generator())
    images, labels = dataset.images(batch.clean), batch.condition.labels
    if images is None or labels is None:
        raise TypeError("the quick start's data set holds labelled images")
    return images, labels
