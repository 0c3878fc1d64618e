"""Metrics that compare all pooled features of samples with those of real images."""

from collections.abc import Callable, Mapping
from typing import cast

from jaxtyping import Float
from torch import Tensor

from thalweg.errors import DataError
from thalweg.protocols import Better, Statistic
from thalweg_eval.statistics.collected import Collected

_KEY = "features:pooled"


class FeatureComparison:
    """A metric of the pooled features of both sides; a subclass says what is computed of them.

    Attributes:
        name: of the metric.
    """

    name: str
    better: Better = "higher"

    def compare(self, ours: Float[Tensor, "N F"], real: Float[Tensor, "M F"]) -> Mapping[str, float]:
        """The numbers, from the features of samples and of real images in the order of their images."""
        raise NotImplementedError

    def statistics(self, _count: int) -> Mapping[str, Callable[[], Statistic]]:
        """All features."""
        return {_KEY: Collected}

    def reference_statistics(self, count: int) -> Mapping[str, Callable[[], Statistic]]:
        """The same of the real images."""
        return self.statistics(count)

    def check(self, samples: Mapping[str, Statistic], reference: Mapping[str, Statistic]) -> None:
        """Compare the widths of stand-ins for samples and of the reference, if it is at hand.

        Raises:
            DataError: if they differ, or the reference is empty.
        """
        if _KEY in reference:
            self._ordered(samples, reference)

    def __call__(
        self, samples: Mapping[str, Statistic], reference: Mapping[str, Statistic]
    ) -> Mapping[str, float]:
        """Its numbers.

        Raises:
            DataError: if a side has no images, one was counted twice, or widths differ.
            PluginError: if a package that computes them is not installed.
        """
        return self.compare(*self._ordered(samples, reference))

    def _ordered(
        self, samples: Mapping[str, Statistic], reference: Mapping[str, Statistic]
    ) -> tuple[Tensor, Tensor]:
        ours, real = (cast(Collected, side[_KEY]).ordered() for side in (samples, reference))
        if ours.shape[1] != real.shape[1]:
            raise DataError(
                f"features of width {ours.shape[1]} cannot be compared with features of width "
                f"{real.shape[1]}; extract both sides with the same extractor"
            )
        return ours, real
