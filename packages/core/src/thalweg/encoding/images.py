"""Batches of a source's images, cropped and stacked."""

from collections.abc import Sequence

import attrs
import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from thalweg.data.cropping import center_crop
from thalweg.errors import DamagedImageError, DataError
from thalweg.protocols import Record, Source


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
        source: where the images lie.
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
                f"{error}; the shards that are whole stay, and the same command goes on once the image is "
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
