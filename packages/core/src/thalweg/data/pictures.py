"""Images of a source by index, decoded by several threads and kept where they are few."""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from threading import Lock

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

from thalweg.data.caption_reader import CaptionReader
from thalweg.data.caption_table import CaptionTable
from thalweg.data.fitting import Fitting
from thalweg.data.pixels import from_images
from thalweg.errors import DamagedImageError, DataError
from thalweg.protocols import Record, Source
from thalweg.types import Batch, Condition
from thalweg.visible import visible_line

KEPT_BYTES = 256 * 2**20
"""A data set smaller than this, decoded, stays in memory once it was read."""

MOST_IN_A_ROW = 64
"""Damaged images one after another that are skipped; of more, something else is wrong."""

Places = Int[np.ndarray, " _"]
After = Callable[[Places], Places]
Captions = CaptionTable | CaptionReader

_TOLD = 20  # damaged images that are named; of more, their number is
_THREADS = 8  # decoders let go of the interpreter, and remote files are waited for

_log = logging.getLogger("thalweg")


class DamagedImages:
    """Notes damaged images by their places in a source, and names each once."""

    def __init__(self) -> None:
        self._reasons: dict[int, str] = {}
        self._lock = Lock()

    def add(self, place: int, reason: str) -> None:
        """Note an image; known ones are not named again."""
        with self._lock:
            if place in self._reasons:
                return
            self._reasons[place] = reason
            count = len(self._reasons)
        if count <= _TOLD:
            _log.warning("left out, and the next image is read in its place: %s", visible_line(reason))
        if count == _TOLD:
            _log.warning("further damaged images are counted and not named")

    def among(self, places: Places) -> Bool[np.ndarray, " N"]:
        """Which of these places hold a damaged image."""
        with self._lock:
            return np.isin(places, list(self._reasons)) if self._reasons else np.zeros(len(places), bool)

    @property
    def reasons(self) -> list[str]:
        """What is wrong with each, in the order of their places."""
        with self._lock:
            return [self._reasons[place] for place in sorted(self._reasons)]


class Pictures:
    """Fitted images, labels and captions of a source.

    Args:
        source: where they come from.
        fitting: how they come to one shape.
        classes: labels must lie in 0..classes-1; None for images without labels.
        captions: of all images, by their places; None where there are none.
        skip: read another image in the place of a damaged one, its label and captions too.

    Raises:
        DataError: if the source is empty.

    Attributes:
        damage: the images that turned out to be damaged, where others are read in their place.
    """

    def __init__(
        self,
        source: Source,
        fitting: Fitting,
        classes: int | None,
        captions: Captions | None,
        *,
        skip: bool,
    ) -> None:
        if len(source) == 0:
            raise DataError("the data set's source holds no images; give one that does")
        self._source, self._fitting, self._classes = source, fitting, classes
        self.captions, self.skip, self.damage = captions, skip, DamagedImages()
        self._kept: UInt8[np.ndarray, "N C H W"] | None = None
        self._known_N = np.zeros(len(source), bool)
        self._labels_N = np.zeros(len(source), np.int64)
        if len(source) * int(np.prod(fitting.shape)) < KEPT_BYTES:
            self._kept = np.empty((len(source), *fitting.shape), np.uint8)

    def __len__(self) -> int:
        return len(self._source)

    @property
    def blocks(self) -> tuple[int, ...] | None:
        """Images of each shard; None of a source without any."""
        return getattr(self._source, "blocks", None)

    def upcoming(self, places: Places) -> None:
        """Let the source know that these will be read before long."""
        announce = getattr(self._source, "upcoming", None)
        if announce is not None:
            announce(places.tolist())

    def read(self, places: Places, after: After) -> tuple[UInt8[Tensor, "N C H W"], Places]:
        """The images at these places, in this order, 0..255, and which they are.

        Args:
            places: of the images.
            after: gives the places that are read instead of those whose image is damaged.

        Raises:
            DamagedImageError: if one is damaged or of another size, and so are those after it.
            DataError: if one cannot be read, or its label is missing or beyond the classes.
        """
        found: dict[int, UInt8[np.ndarray, "C H W"]] = {}
        read_N = places.copy()
        for _ in range(MOST_IN_A_ROW):
            asked = np.unique(read_N[~(self._known_N[read_N] | self.damage.among(read_N))]).tolist()
            new = [place for place in asked if place not in found]
            decoded = map(self._one, new) if len(new) < 2 else self._pool.map(self._one, new)
            found |= {place: image for place, image in zip(new, decoded, strict=True) if image is not None}
            damaged_N = self.damage.among(read_N)
            if not damaged_N.any():
                break
            read_N[damaged_N] = after(read_N[damaged_N])
        else:
            raise DamagedImageError(
                f"{MOST_IN_A_ROW} images in a row are damaged, such as this: {self.damage.reasons[-1]}"
            )
        return self._taken(read_N, found), read_N

    def labels(self, places: Places) -> Int[Tensor, " N"] | None:
        """The classes of images that were read; None where there are none."""
        return None if self._classes is None else torch.from_numpy(self._labels_N[places])

    def _taken(
        self, read_N: Places, found: Mapping[int, UInt8[np.ndarray, "C H W"]]
    ) -> UInt8[Tensor, "N C H W"]:
        if self._kept is None:
            return torch.from_numpy(np.stack([found[place] for place in read_N.tolist()]))
        for place, image in found.items():
            self._kept[place] = image
        self._known_N[list(found)] = True  # last, as other threads go by it
        return torch.from_numpy(self._kept[read_N])

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(_THREADS, "thalweg-images")

    def _one(self, place: int) -> UInt8[np.ndarray, "C H W"] | None:
        """None of a damaged one, where another is read in its place."""
        try:
            record = self._source[place]
            if self._classes is not None:
                self._labels_N[place] = _label(record, self._classes)
            return self._fitting(record)
        except DamagedImageError as error:
            if not self.skip:
                raise
            self.damage.add(place, str(error))
            return None


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

    Raises:
        DataError: if the part is empty.

    Attributes:
        blocks: how many of the part are in each shard; None of a source without any.
    """

    def __init__(self, pictures: Pictures, places: Places, *, flip: bool = False) -> None:
        if len(places) == 0:
            raise DataError(
                f"of {len(pictures)} images none is left for a part of the data set; give more images, or "
                "another share for validation"
            )
        self._pictures, self._places, self._flip = pictures, places, flip
        self.blocks: tuple[int, ...] | None = None
        if pictures.blocks is not None:
            ends = np.searchsorted(places, np.cumsum(pictures.blocks))
            self.blocks = tuple(np.diff(ends, prepend=0).tolist())

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
        asked_N = self._places[np.asarray(indices, np.int64)]
        images_NCHW, places_N = self._pictures.read(asked_N, self._next)
        clean_NCHW, replaced = from_images(images_NCHW), int((places_N != asked_N).sum())
        if self._flip:
            turned_N = torch.rand(len(clean_NCHW), generator=generator) < 0.5
            clean_NCHW = torch.where(turned_N[:, None, None, None], clean_NCHW.flip(3), clean_NCHW)
        text = None
        if self._pictures.captions is not None:
            text = self._pictures.captions.read(places_N, torch.rand(len(places_N), generator=generator))
        return Batch(clean_NCHW, Condition(self._pictures.labels(places_N), text=text), replaced=replaced)

    def upcoming(self, indices: Sequence[int]) -> None:
        """Let the source know that these will be read before long."""
        self._pictures.upcoming(self._places[np.asarray(indices, np.int64)])

    def captions(self, indices: Sequence[int], generator: torch.Generator) -> list[str]:
        """The words of the captions that :meth:`batch` gives with this generator."""
        places_N = self._places[np.asarray(indices, np.int64)]
        if self._pictures.captions is None:
            return [""] * len(places_N)
        if self._pictures.skip:
            _, places_N = self._pictures.read(places_N, self._next)
        if self._flip:
            torch.rand(len(places_N), generator=generator)  # as a batch draws before
        return self._pictures.captions.words(places_N, torch.rand(len(places_N), generator=generator))

    def _next(self, places: Places) -> Places:
        """The places that follow within the part, after its last one its first: of the data alone, so that
        it is the same for every process, thread and session."""
        following: Places = self._places[(np.searchsorted(self._places, places) + 1) % len(self._places)]
        return following
