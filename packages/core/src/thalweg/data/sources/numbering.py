"""How many classes there are where labels are numbers."""

import logging
from collections.abc import Sequence

from thalweg.errors import DataError

_log = logging.getLogger("thalweg")


def classes_of(where: str, labels: Sequence[int], stated: int | None = None) -> int:
    """One more than the largest label, or what is stated. Numbers stay as they are; those that no image has
    are told of in one line.

    Raises:
        DataError: if a label is beyond what is stated.
    """
    largest = max(labels)
    if stated is not None:
        if largest >= stated:
            raise DataError(f"{where} holds the label {largest}, beyond {stated} classes; correct the number")
        return stated
    present = set(labels)
    if len(present) <= largest:
        first = next(number for number in range(largest) if number not in present)
        _log.warning(
            "%s: labels go up to %d, so there are %d classes; of %d there is no image, the first is %d",
            where,
            largest,
            largest + 1,
            largest + 1 - len(present),
            first,
        )
    return largest + 1
