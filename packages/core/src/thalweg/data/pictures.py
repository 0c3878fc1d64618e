"""Images of a source by index, decoded by several threads and kept where they are few."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from thalweg.data.caption_table import CaptionTable
from thalweg.data.fitting import Fitting
from thalweg.data.pixels import from_images
from thalweg.errors import DataError
from thalweg.protocols import Record, Source
from thalweg.types import Batch, Condition

KEPT_BYTES = 256 * 2**20
"""A data set smaller than this, decoded, stays in memory once it was read."""

_THREADS = 8  # decoders let go of the interpreter, and remote files are waited for


class Pictures:
    """Fitted images and labels of a source, 0..255.

    Args:
        source: where they come from.
        fitting: how they come to one shape.
        classes: labels must lie in 0..classes-1; None for images without labels.

    Raises:
        DataError: if the source is empty.
    """

    def __init__(self, source: Source, fitting: Fitting, classes: int | None) -> None:
        if len(source) == 0:
            raise DataError("the data set's source holds no images; give one that does")
        self._source, self._fitting, self._classes = source, fitting, classes
        self._shape = fitting.shape
        self._kept: UInt8[np.ndarray, "N C H W"] | None = None
        self._known_N = np.zeros(len(source), bool)
        self._labels_N = np.zeros(len(source), np.int64)
        if len(source) * int(np.prod(self._shape)) < KEPT_BYTES:
            self._kept = np.empty((len(source), *self._shape), np.uint8)

    def __len__(self) -> int:
        return len(self._source)

    def read(
        self, places: Int[np.ndarray, " N"]
    ) -> tuple[UInt8[Tensor, "N C H W"], Int[Tensor, " N"] | None]:
        """The images at these places, in this order, and their labels, if they have any.

        Raises:
            DataError: if one is damaged, of another size, or its label is missing or beyond the classes.
        """
        if self._kept is None:
            images_NCHW = np.stack(self._decoded(places.tolist()))
        else:
            new = np.unique(places[~self._known_N[places]])
            for place, image in zip(new, self._decoded(new.tolist()), strict=True):
                self._kept[place] = image
            self._known_N[new] = True  # last, as other threads go by it
            images_NCHW = self._kept[places]
        labels_N = None if self._classes is None else torch.from_numpy(self._labels_N[places])
        return torch.from_numpy(images_NCHW), labels_N

    def _decoded(self, places: list[int]) -> list[UInt8[np.ndarray, "C H W"]]:
        return (
            [self._one(place) for place in places]
            if len(places) < 2
            else list(self._pool.map(self._one, places))
        )

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(_THREADS, "thalweg-images")

    def _one(self, place: int) -> UInt8[np.ndarray, "C H W"]:
        record = self._source[place]
        if self._classes is not None:
            self._labels_N[place] = _label(record, self._classes)
        return self._fitting(record)


def _label(record: Record, classes: int) -> int:
    if record.label is None or not 0 <= record.label < classes:
        raise DataError(
            f"{record.key} has the label {record.label}, which must be in 0..{classes - 1}; correct it"
        )
    return record.label


class PictureSplit:
    """A part of the images, scaled to [-1, 1].

    Args:
        pictures: all of them.
        places: which of them are the part.
        flip: mirror each image at each read with probability 1/2.
        captions: of all images, by their places; None where there are none.

    Raises:
        DataError: if the part is empty.
    """

    def __init__(
        self,
        pictures: Pictures,
        places: Int[np.ndarray, " N"],
        flip: bool,
        captions: CaptionTable | None = None,
    ) -> None:
        if len(places) == 0:
            raise DataError(
                f"of {len(pictures)} images none is left for a part of the data set; give more images, or "
                "another share for validation"
            )
        self._pictures, self._places, self._flip = pictures, places, flip
        self._captions = captions

    def __len__(self) -> int:
        return len(self._places)

    def batch(self, indices: Sequence[int], generator: torch.Generator) -> Batch:
        """The images at these indices, in this order.

        Raises:
            IndexError: for an index outside the split.
            DataError: if an image or label cannot be used.
        """
        places_N = self._places[np.asarray(indices, np.int64)]
        images_NCHW, labels_N = self._pictures.read(places_N)
        clean_NCHW = from_images(images_NCHW)
        if self._flip:
            turned_N = torch.rand(len(clean_NCHW), generator=generator) < 0.5
            clean_NCHW = torch.where(turned_N[:, None, None, None], clean_NCHW.flip(3), clean_NCHW)
        text = None
        if self._captions is not None:
            text = self._captions.read(places_N, torch.rand(len(places_N), generator=generator))
        return Batch(clean_NCHW, Condition(labels_N, text=text))

    def captions(self, indices: Sequence[int], generator: torch.Generator) -> list[str]:
        """The words of the captions that :meth:`batch` gives with this generator."""
        places_N = self._places[np.asarray(indices, np.int64)]
        if self._captions is None:
            return [""] * len(places_N)
        if self._flip:
            torch.rand(len(places_N), generator=generator)  # as a batch draws before
        return self._captions.words(places_N, torch.rand(len(places_N), generator=generator))
