"""The set of images that a file or folder holds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped

from thalweg.data.fitting import center_crop
from thalweg.errors import DataError
from thalweg.image_sets.images import Images, Piece
from thalweg.image_sets.npz import NpzImages
from thalweg.protocols import Source
from thalweg.storage.places import plain_place


def is_npz(place: str | Path) -> bool:
    """Whether a path or URL names an ``.npz``."""
    return str(place).lower().endswith(".npz")


def open_images(place: str | Path, crop: int | None = None) -> Images:
    """Open an ``.npz``, a folder, a tar file or another source of images.

    Args:
        place: a path, or of a source a URL.
        crop: edge to which the images of a source are reduced and cropped as ADM does; None takes them as
            they are.

    Raises:
        DataError: if there are none, or they are damaged.
    """
    if is_npz(place):
        return NpzImages(Path(plain_place(place)))
    from thalweg.data.sources import source_of  # who reads no folder need not wait for fsspec

    return SourceImages(source_of(str(place)), crop)


class SourceImages:
    """The images of a source, all of one size; grey ones among coloured ones count as coloured.

    Args:
        source: where they are.
        crop: edge to which each is reduced and cropped by ADM's rule first; None takes them as they are.

    Attributes:
        identity: the source's, and the crop.
        shape: channels, height and width, those of the first image.
        classes: those of the source.

    Raises:
        DataError: if there is no image, or the first is damaged.
    """

    def __init__(self, source: Source, crop: int | None) -> None:
        if len(source) == 0:
            raise DataError(f"{source.identity} holds no images")
        self._source, self._crop = source, crop
        record = source[0]
        self._first = record.key
        height, width, channels = self._reduced(record.image).shape
        self.shape = (channels, height, width)
        self.classes = source.classes
        self.identity: Mapping[str, Any] = {
            "kind": "images",
            "images": len(source),
            "source": source.identity,
            "crop": crop or "none",
        }

    def __len__(self) -> int:
        return len(self._source)

    def read(self, start: int, stop: int) -> Piece:
        """Images start..stop-1.

        Raises:
            DataError: naming the first image that is damaged or of another size.
        """
        records = [self._source[index] for index in range(start, stop)]
        images = torch.from_numpy(np.stack([self._checked(record) for record in records]))
        labelled = all(record.label is not None for record in records)
        return Piece(
            images.permute(0, 3, 1, 2).contiguous(),
            torch.tensor([record.label for record in records]) if labelled else None,
            [record.captions[0] for record in records] if self._source.captioned else None,
        )

    def _reduced(self, image: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
        if self._crop is None:
            return image
        return center_crop(image, self._crop)

    def _checked(self, record: Any) -> Shaped[np.ndarray, "..."]:
        image = self._reduced(record.image)
        if image.shape[2] == 1 and self.shape[0] == 3:
            image = np.repeat(image, 3, axis=2)
        height, width, channels = image.shape
        if (channels, height, width) != self.shape:
            raise DataError(
                f"{record.key} is {_words(channels, height, width)} and {self._first} is "
                f"{_words(*self.shape)}; all images of a set must be alike: convert them, or state a rule "
                "for their size, such as crop=256"
            )
        return image


def _words(channels: int, height: int, width: int) -> str:
    return f"{width}x{height} {'grey' if channels == 1 else 'RGB'}"
