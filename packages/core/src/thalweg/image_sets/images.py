"""Sets of images, read by ranges of their indices."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import attrs
from jaxtyping import Int, UInt8
from torch import Tensor

from thalweg.errors import DataError

MOST_CLASSES = 10**6
"""What labels of images stay below."""


@attrs.frozen(eq=False)
class Piece:
    """Neighbouring images of a set.

    Attributes:
        images: 0..255, of 1 (grey) or 3 (RGB) channels.
        labels: the class of each; None where there are none.
        captions: one of each; None where there are none.
    """

    images: UInt8[Tensor, "N channels height width"]
    labels: Int[Tensor, " N"] | None = None
    captions: Sequence[str] | None = None


@runtime_checkable
class Images(Protocol):
    """A set of images of one size.

    Attributes:
        identity: what it is, as passports and caches record it: equal for equal images, as far as can be
            seen without reading all of them.
        shape: channels, height and width.
        classes: number of classes; None where images bear no labels.
    """

    identity: Mapping[str, Any]
    shape: tuple[int, int, int]
    classes: int | None

    def __len__(self) -> int:
        """Number of images."""
        ...

    def read(self, start: int, stop: int) -> Piece:
        """Images start..stop-1, the same whatever range they are read in."""
        ...


def check_enough(images: Images, what: str) -> None:
    """Raise unless there are at least two images.

    Raises:
        DataError: naming the set.
    """
    if len(images) < 2:
        number = "one image" if len(images) == 1 else f"{len(images)} images"
        raise DataError(f"{what} has {number}; an evaluation needs at least two")


def captions_of(images: Images, count: int) -> Sequence[str] | None:
    """The captions of the first images; None where they have none.

    A set that knows them without generating or reading images says so by ``captions(indices)``.
    """
    known = getattr(images, "captions", None)
    found: Sequence[str] | None = images.read(0, count).captions if known is None else known(range(count))
    return found


class First:
    """The first ``count`` images of a set; the rest is as of the whole."""

    def __init__(self, whole: Images, count: int) -> None:
        self._whole, self._count = whole, count
        self.identity, self.shape, self.classes = whole.identity, whole.shape, whole.classes

    def __len__(self) -> int:
        return self._count

    def read(self, start: int, stop: int) -> Piece:
        """As of the whole."""
        return self._whole.read(start, stop)

    def captions(self, indices: Sequence[int]) -> Sequence[str] | None:
        """As of the whole; of its first images."""
        return captions_of(self._whole, len(indices))
