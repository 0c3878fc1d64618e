"""What samples are judged by."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from jaxtyping import Int, UInt8
from torch import Tensor

from thalweg.types import (
    Features,
)


@runtime_checkable
class Extractor(Protocol):
    """Sees features in images. A ``torch.nn.Module`` or anything like it.

    Attributes:
        name: what the features are called beside a number made from them.
        labels_known: whether its logits stand for the data set's own classes.
        reads_captions: whether it takes the images' captions too.
        identity: whatever decides the features, as passports and caches record it: ``type``, the weights'
            SHA-256, the rule by which images are resized and to which size, the precision.
    """

    name: str
    labels_known: bool
    reads_captions: bool
    identity: Mapping[str, Any]

    def __call__(
        self,
        images: UInt8[Tensor, "N channels height width"],
        captions: Sequence[str] | None = None,
    ) -> Features:
        """Features of images 0..255 of 1 or 3 channels, in float32 on the CPU.

        ``captions`` are handed over only to one that reads them.
        """
        ...

    def number_name(self, number: str) -> str:
        """What a metric's number is called in these features, such as ``fid`` for ``frechet_distance``.

        Numbers in the features of different networks bear different names.
        """
        ...


@runtime_checkable
class Statistic(Protocol):
    """Accumulates what metrics need of the features of one side, samples or reference.

    Cut into batches and spread over processes however one likes, it comes to the same.
    """

    def update(self, features: Features, labels: Int[Tensor, " N"] | None, indices: Sequence[int]) -> None:
        """Take a batch.

        Args:
            features: of the batch.
            labels: the class of each image, or that it was drawn for; None where there are none.
            indices: the place of each image in the whole set.
        """
        ...

    def merge(self, other: Any) -> None:
        """Take all that another one has seen, as if it had come here."""
        ...

    def state(self) -> Mapping[str, Tensor]:
        """All it knows, as tensors on the CPU: to be stored, or sent to another process."""
        ...

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Become what :meth:`state` was taken of."""
        ...


Better = Literal["higher", "lower"] | None
"""Which way a number is better; None where nobody can tell."""


@runtime_checkable
class Metric(Protocol):
    """One or several numbers about samples.

    It says which statistics it needs by key, such as ``moments:pooled``; metrics that share an extractor
    share statistics of equal keys, so these must come to the same.

    Attributes:
        name: its name, such as ``frechet_distance``.
        better: which way its numbers are better, ``higher`` or ``lower``; None where nobody can tell, and
            they are not ranked. Numbers with ``_std`` in their names never are.

    One whose numbers need more than its statistics has ``check(samples, reference)`` as well. It is called
    before the first image is seen, and again once the reference was, and raises a ``ThalwegError`` if a
    package is missing or both sides do not go together. ``samples`` are its statistics of two stand-ins for
    samples, ``reference`` those of the reference that are at hand: before it was seen, perhaps none.
    """

    name: str
    better: Better

    def statistics(self, count: int) -> Mapping[str, Callable[[], Statistic]]:
        """What it needs of ``count`` samples: a maker of the empty statistic for each key."""
        ...

    def reference_statistics(self, count: int) -> Mapping[str, Callable[[], Statistic]]:
        """What it needs of ``count`` real images; empty if it does without a reference."""
        ...

    def __call__(
        self, samples: Mapping[str, Statistic], reference: Mapping[str, Statistic]
    ) -> Mapping[str, float]:
        """Its numbers by name, from the statistics asked for, all images taken."""
        ...
