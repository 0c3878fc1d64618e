"""Which images are encoded together and stored in which shard, and how they are read."""

from collections.abc import Sequence
from functools import cached_property

import attrs
import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from thalweg.data.fitting import center_crop
from thalweg.data.order import shuffled
from thalweg.errors import DamagedImageError, DataError
from thalweg.jobs.ranges import Range
from thalweg.protocols import Record, Source
from thalweg.randomness import generator


@attrs.frozen
class Layout:
    """A permutation of the source, cut into shards, each cut into batches.

    Sources are sorted by class, shards must not be: a reader shuffles among a few of them at a time. It
    depends on nothing but its fields, so that any process may write any shard, and a resumed run
    encodes the same images together as before.

    Attributes:
        count: images of the source.
        shard_samples: images of a shard; the last one holds the rest.
        batch_size: images encoded at once; no batch spans two shards.
        seed: of the permutation.
        blocks: images of each shard of the source, so that few of those are read at a time; None of a source
            without any.
    """

    count: int
    shard_samples: int
    batch_size: int
    seed: int
    blocks: tuple[int, ...] | None = None

    @property
    def shards(self) -> int:
        """How many there are."""
        return -(-self.count // self.shard_samples)

    def samples(self, number: int) -> int:
        """Images of one shard."""
        return min(self.shard_samples, self.count - number * self.shard_samples)

    def batches(self, number: int) -> list[Range]:
        """The batches of one shard, as ranges of the permutation."""
        start = number * self.shard_samples
        stop = start + self.samples(number)
        return [(at, min(at + self.batch_size, stop)) for at in range(start, stop, self.batch_size)]

    def shard_at_end(self, stop: int) -> int | None:
        """The shard whose last image is the one before ``stop``; None if it is not the last of one."""
        return (
            (stop - 1) // self.shard_samples if stop % self.shard_samples == 0 or stop == self.count else None
        )

    def indices(self, start: int, stop: int) -> list[int]:
        """The source's indices of a range of the permutation."""
        found: list[int] = self._permutation[start:stop].tolist()
        return found

    @cached_property
    def _permutation(self) -> Int[Tensor, " count"]:
        return shuffled(generator(self.seed, "encode"), self.blocks or (self.count,))


@attrs.frozen(eq=False)
class ImageBatch:
    """Some images and what their source says of them.

    Attributes:
        keys: their names.
        images: 0..255.
        labels: their classes; None where the source has none.
        captions: of each image, none or several.
    """

    keys: tuple[str, ...]
    images: UInt8[Tensor, "N channels height width"]
    labels: Int[Tensor, " N"] | None
    captions: tuple[tuple[str, ...], ...]


class ImageReader:
    """Reads batches; safe to call from several threads at once.

    Args:
        source: where the images are stored.
        size: height and width that they are cropped to, as ADM does it.
        channels: 3 takes grey images too, as three equal channels; 1 takes none but grey ones.
        pinned: in memory that an accelerator copies from at full speed.
    """

    def __init__(self, source: Source, size: int, channels: int, *, pinned: bool = False) -> None:
        self._source, self._size, self._channels, self._pinned = source, size, channels, pinned

    def __call__(self, indices: Sequence[int]) -> ImageBatch:
        """The images at these indices, in this order.

        Raises:
            DataError: naming the image, if it is damaged, has no class where the source has classes, or is
                in colour where grey is stored.
        """
        try:
            records = [self._source[index] for index in indices]
            images = torch.from_numpy(np.stack([self._image(record) for record in records]))
        except DamagedImageError as error:
            raise DamagedImageError(
                f"{error}; the shards that are whole stay, and the same command resumes once the image is "
                f"put back, or replaced and --accept-changed-data given; thalweg data verify names them all"
            ) from error
        labels = None
        if self._source.classes is not None:
            labels = torch.tensor([self._label(record) for record in records])
        return ImageBatch(
            keys=tuple(record.key for record in records),
            images=images.pin_memory() if self._pinned else images,
            labels=labels,
            captions=tuple(record.captions for record in records),
        )

    def _image(self, record: Record) -> UInt8[np.ndarray, "channels height width"]:
        image_HWC = center_crop(record.image, self._size)
        if image_HWC.shape[2] > self._channels:
            raise DataError(
                f"'{record.key}' is in colour, but grey images are stored; "
                "ask for 3 channels to store all in colour"
            )
        image_CHW = image_HWC.transpose(2, 0, 1)
        return np.ascontiguousarray(np.broadcast_to(image_CHW, (self._channels, *image_CHW.shape[1:])))

    def _label(self, record: Record) -> int:
        if record.label is None:
            raise DataError(f"'{record.key}' has no class, but its source has classes; give it one")
        return record.label
