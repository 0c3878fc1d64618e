"""Images of a source by index, decoded by several threads and kept where they are few."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from thalweg.data.caption_table import CaptionTable
from thalweg.data.damage import DamagedImages
from thalweg.data.fitting import Fitting
from thalweg.data.pixels import from_images
from thalweg.errors import DamagedImageError, DataError
from thalweg.protocols import Record, Source
from thalweg.types import Batch, Condition

KEPT_BYTES = 256 * 2**20
"""A data set smaller than this, decoded, stays in memory once it was read."""

MOST_IN_A_ROW = 64
"""Damaged images one after another that are passed over; of more, something else is wrong."""

Places = Int[np.ndarray, " _"]
After = Callable[[Places], Places]

_THREADS = 8  # decoders let go of the interpreter, and remote files are waited for


class Read(NamedTuple):
    """What was read.

    Attributes:
        images: 0..255.
        labels: their classes; None where there are none.
        places: which images they are.
        replaced: how many of them are read in the place of damaged ones.
    """

    images: UInt8[Tensor, "N C H W"]
    labels: Int[Tensor, " N"] | None
    places: Places
    replaced: int


class Pictures:
    """Fitted images and labels of a source, 0..255.

    Args:
        source: where they come from.
        fitting: how they come to one shape.
        classes: labels must lie in 0..classes-1; None for images without labels.

    Raises:
        DataError: if the source is empty.

    Attributes:
        damage: the images that turned out to be damaged, where others are read in their place.
    """

    def __init__(self, source: Source, fitting: Fitting, classes: int | None) -> None:
        if len(source) == 0:
            raise DataError("the data set's source holds no images; give one that does")
        self._source, self._fitting, self._classes = source, fitting, classes
        self.damage = DamagedImages()
        self._shape = fitting.shape
        self._kept: UInt8[np.ndarray, "N C H W"] | None = None
        self._known_N = np.zeros(len(source), bool)
        self._labels_N = np.zeros(len(source), np.int64)
        if len(source) * int(np.prod(self._shape)) < KEPT_BYTES:
            self._kept = np.empty((len(source), *self._shape), np.uint8)

    def __len__(self) -> int:
        return len(self._source)

    def read(self, places: Places, after: After | None = None) -> Read:
        """The images at these places, in this order.

        Args:
            places: of the images.
            after: gives the places that are read instead of those whose image is damaged; None stops there.

        Raises:
            DamagedImageError: if one is damaged or of another size, and so are those after it.
            DataError: if one cannot be read, or its label is missing or beyond the classes.
        """
        found: dict[int, UInt8[np.ndarray, "C H W"]] = {}
        read_N = places.copy()
        for _ in range(MOST_IN_A_ROW):
            new = np.unique(read_N[~(self._known_N[read_N] | self.damage.among(read_N))])
            new = new[[place not in found for place in new.tolist()]]
            for place, image in zip(new.tolist(), self._decoded(new.tolist(), after), strict=True):
                if image is not None:
                    found[place] = image
            damaged_N = self.damage.among(read_N)
            if after is None or not damaged_N.any():
                break
            read_N[damaged_N] = after(read_N[damaged_N])
        else:
            raise DamagedImageError(
                f"{MOST_IN_A_ROW} images in a row are damaged, such as this: {self.damage.reasons[-1]}"
            )
        return self._taken(read_N, found, int((read_N != places).sum()))

    def _taken(self, read_N: Places, found: Mapping[int, UInt8[np.ndarray, "C H W"]], replaced: int) -> Read:
        if self._kept is None:
            images_NCHW = np.stack([found[place] for place in read_N.tolist()])
        else:
            for place, image in found.items():
                self._kept[place] = image
            self._known_N[list(found)] = True  # last, as other threads go by it
            images_NCHW = self._kept[read_N]
        labels_N = None if self._classes is None else torch.from_numpy(self._labels_N[read_N])
        return Read(torch.from_numpy(images_NCHW), labels_N, read_N, replaced)

    def _decoded(self, places: list[int], after: After | None) -> list[UInt8[np.ndarray, "C H W"] | None]:
        one = self._one if after is None else self._one_or_none
        return [one(place) for place in places] if len(places) < 2 else list(self._pool.map(one, places))

    def _one_or_none(self, place: int) -> UInt8[np.ndarray, "C H W"] | None:
        try:
            return self._one(place)
        except DamagedImageError as error:
            self.damage.add(place, str(error))
            return None

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
        skip: read the next image of the part in the place of a damaged one, its label and captions too.

    Raises:
        DataError: if the part is empty.
    """

    def __init__(
        self,
        pictures: Pictures,
        places: Int[np.ndarray, " N"],
        flip: bool,
        captions: CaptionTable | None = None,
        *,
        skip: bool = False,
    ) -> None:
        if len(places) == 0:
            raise DataError(
                f"of {len(pictures)} images none is left for a part of the data set; give more images, or "
                "another share for validation"
            )
        self._pictures, self._places, self._flip = pictures, places, flip
        self._captions, self._after = captions, self._next if skip else None

    def __len__(self) -> int:
        return len(self._places)

    @property
    def damaged(self) -> list[str]:
        """What is wrong with each image that was found to be damaged, and left out, so far."""
        return self._pictures.damage.reasons

    def batch(self, indices: Sequence[int], generator: torch.Generator) -> Batch:
        """The images at these indices, in this order.

        Raises:
            IndexError: for an index outside the split.
            DataError: if an image or label cannot be used.
        """
        read = self._pictures.read(self._places[np.asarray(indices, np.int64)], self._after)
        clean_NCHW, places_N = from_images(read.images), read.places
        if self._flip:
            turned_N = torch.rand(len(clean_NCHW), generator=generator) < 0.5
            clean_NCHW = torch.where(turned_N[:, None, None, None], clean_NCHW.flip(3), clean_NCHW)
        text = None
        if self._captions is not None:
            text = self._captions.read(places_N, torch.rand(len(places_N), generator=generator))
        return Batch(clean_NCHW, Condition(read.labels, text=text), replaced=read.replaced)

    def captions(self, indices: Sequence[int], generator: torch.Generator) -> list[str]:
        """The words of the captions that :meth:`batch` gives with this generator."""
        places_N = self._places[np.asarray(indices, np.int64)]
        if self._captions is None:
            return [""] * len(places_N)
        if self._after is not None:
            places_N = self._pictures.read(places_N, self._after).places
        if self._flip:
            torch.rand(len(places_N), generator=generator)  # as a batch draws before
        return self._captions.words(places_N, torch.rand(len(places_N), generator=generator))

    def _next(self, places: Places) -> Places:
        """The places that follow within the part, after its last one its first: of the data alone, so that
        it is the same for every process, thread and session."""
        following: Places = self._places[(np.searchsorted(self._places, places) + 1) % len(self._places)]
        return following
