"""The inception score: how sure a classifier is of each image, and how varied they are together.

T. Salimans et al., Improved techniques for training GANs, 2016, section 4: exp(E KL(p(y|x) || p(y))),
the mean over several splits of the images.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import cast

import attrs
import numpy as np
from attrs.validators import in_

from thalweg.arguments import SAMPLES, SEED_OF_NUMPY
from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.protocols import Better, Statistic
from thalweg_eval.statistics.splits import SplitProbabilities


@attrs.frozen
class InceptionScoreConfig:
    """Inception score of the samples; the number of classes at best, 1 at worst. It knows no real images.

    Attributes:
        rule: ``shuffled``, as torch-fidelity splits: images shuffled, then cut into equal parts;
            ``blocks``, as the ADM evaluator does: blocks of images in their order.
        splits: number of parts, if shuffled.
        seed: of the shuffling.
        block: images a block, if in blocks; the last may be shorter.
    """

    rule: str = attrs.field(default="shuffled", validator=in_(("shuffled", "blocks")))
    splits: int = attrs.field(default=10, validator=SAMPLES)
    seed: int = attrs.field(default=2020, validator=SEED_OF_NUMPY)
    block: int = attrs.field(default=5000, validator=SAMPLES)

    def build(self, _: Facts) -> "InceptionScore":
        """The metric."""
        return InceptionScore(self)


class InceptionScore:
    """The metric ``inception_score``, with the standard deviation over splits."""

    name = "inception_score"
    better: Better = "higher"

    def __init__(self, config: InceptionScoreConfig) -> None:
        self._config = config
        how = f"{config.splits}:{config.seed}" if config.rule == "shuffled" else f"{config.block}"
        self._key = f"splits:{config.rule}:{how}"

    def statistics(self, count: int) -> Mapping[str, Callable[[], Statistic]]:
        """Sums of probabilities, split by split.

        Raises:
            DataError: if there are fewer images than splits.
        """
        split_of = self._split_of(count)
        return {self._key: partial(SplitProbabilities, split_of, max(split_of) + 1)}

    def reference_statistics(self, _count: int) -> Mapping[str, Callable[[], Statistic]]:
        """None."""
        return {}

    def __call__(
        self, samples: Mapping[str, Statistic], _reference: Mapping[str, Statistic]
    ) -> Mapping[str, float]:
        """Mean and standard deviation over the splits.

        Raises:
            DataError: if a split has no image.
        """
        scores = cast(SplitProbabilities, samples[self._key]).scores()
        return {self.name: statistics.fmean(scores), f"{self.name}_std": statistics.pstdev(scores)}

    def _split_of(self, count: int) -> Sequence[int]:
        if count < 1:
            raise DataError("there are no samples to score; give at least one")
        if self._config.rule == "blocks":
            return [index // self._config.block for index in range(count)]
        splits = self._config.splits
        if count < splits:
            raise DataError(
                f"{count} images cannot be cut into {splits} splits; give more, or set the metric's splits "
                f"to at most {count}"
            )
        # The generator by which torch-fidelity shuffles: its stream is frozen by numpy.
        order = np.random.RandomState(self._config.seed).permutation(count)
        split_of = np.empty(count, dtype=np.int64)
        for split in range(splits):
            split_of[order[split * count // splits : (split + 1) * count // splits]] = split
        return split_of.tolist()
