"""Metrics that are a mean over samples, and need no reference."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

from jaxtyping import Float, Int
from torch import Tensor

from thalweg.protocols import Better, Statistic
from thalweg.types import Features
from thalweg_eval.statistics.sums import Sums


class SampleMean:
    """A metric that says a few numbers of each sample; a subclass says which.

    Attributes:
        name: of the metric, and of its number.
        key: of the statistic: the sums of those numbers.
    """

    name: str
    key: str
    better: Better = "higher"

    def of_each(self, features: Features, labels: Int[Tensor, " M"] | None) -> Float[Tensor, "N numbers"]:
        """Some float64 numbers of each sample.

        Raises:
            ThalwegError: they cannot be computed of these features.
        """
        raise NotImplementedError

    def of_all(self, sums: Float[Tensor, " numbers"], count: int) -> Mapping[str, float]:
        """The metric's numbers, from the sums over all samples; by default the mean of the first."""
        return {self.name: float(sums[0]) / count}

    def statistics(self, _count: int) -> Mapping[str, Callable[[], Statistic]]:
        """The sums."""
        return {self.key: partial(Sums, self.of_each)}

    def reference_statistics(self, _count: int) -> Mapping[str, Callable[[], Statistic]]:
        """None."""
        return {}

    def __call__(
        self, samples: Mapping[str, Statistic], _reference: Mapping[str, Statistic]
    ) -> Mapping[str, float]:
        """Its numbers.

        Raises:
            DataError: if there were no samples.
        """
        sums = cast(Sums, samples[self.key])
        return self.of_all(sums.sums(), sums.count)
