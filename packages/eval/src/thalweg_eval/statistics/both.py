"""The collected features of both sides."""

from collections.abc import Mapping
from typing import cast

from torch import Tensor

from thalweg.errors import DataError
from thalweg.protocols import Statistic
from thalweg_eval.statistics.collected import Collected

KEY = "features:pooled"


def both_ordered(
    samples: Mapping[str, Statistic], reference: Mapping[str, Statistic]
) -> tuple[Tensor, Tensor]:
    """The features of samples and of real images, each in the order of its images.

    Raises:
        DataError: if a side has none, an image was counted twice, or widths differ.
    """
    ours, real = (cast(Collected, side[KEY]).ordered() for side in (samples, reference))
    _check_widths(ours, real)
    return ours, real


def check_both(samples: Mapping[str, Statistic], reference: Mapping[str, Statistic]) -> None:
    """Compare the widths of stand-ins for samples and of the reference, if it is at hand.

    Raises:
        DataError: if they differ, or the reference is empty.
    """
    if KEY in reference:
        both_ordered(samples, reference)


def _check_widths(ours: Tensor, real: Tensor) -> None:
    if ours.shape[1] != real.shape[1]:
        raise DataError(
            f"features of width {ours.shape[1]} cannot be compared with features of width {real.shape[1]}; "
            "extract both sides with the same extractor"
        )
