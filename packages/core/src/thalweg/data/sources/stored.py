"""Images in files of their own or within tar files, as a source."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from thalweg.data.contents import Contents, contents_of, fingerprints, side_by_side
from thalweg.data.decoding import LIMIT_PIXELS, decode
from thalweg.data.sources.names import File
from thalweg.data.sources.tar_scan import Member
from thalweg.protocols import Record


class StoredImages:
    """What all sources have in common whose images are files.

    Args:
        kind: the type of the source.
        keys: the images' names.
        files: where each is, a file or a member of a tar file.
        labels: of each; None where there are none.
        classes: number of classes.
        class_names: their names.
        captions: gives those of an image, which is not read; None where there are none.
        skipped: how many files and folders are no part of it, by the reason why.
        held_out: what is kept back.
        attribution: whom to name for the images.
        limit_pixels: height times width above which an image is refused.
        mode: of all images; None for that of each file.
    """

    def __init__(
        self,
        kind: str,
        keys: Sequence[str],
        files: Sequence[File | Member],
        *,
        labels: list[int] | None = None,
        classes: int | None = None,
        class_names: tuple[str, ...] = (),
        captions: Callable[[int], tuple[str, ...]] | None = None,
        skipped: Mapping[str, int] | None = None,
        held_out: tuple[str, ...] = (),
        attribution: str = "",
        limit_pixels: int = LIMIT_PIXELS,
        mode: Literal["RGB"] | None = None,
    ) -> None:
        self._kind, self._keys, self._files = kind, keys, files
        self.labels, self.classes, self.class_names = labels, classes, class_names
        self.captioned, self._captions = captions is not None, captions
        self.skipped, self.held_out, self.attribution = dict(skipped or {}), held_out, attribution
        self._limit_pixels, self._mode = limit_pixels, mode

    @cached_property
    def contents(self) -> Contents:
        """Names, sizes, labels and captions of all images, and the content of some."""
        return contents_of(
            self._keys,
            files=self.fingerprints(),
            labels=self.labels,
            captions=side_by_side(self.captions, len(self)) if self.captioned else None,
            classes=self.classes,
            class_names=self.class_names,
            held_out=self.held_out,
        )

    @property
    def identity(self) -> str:
        """What the source is: a hash of its contents."""
        return self.contents.identity(self._kind)

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: int) -> Record:
        label = None if self.labels is None else self.labels[index]
        return Record(self._keys[index], self.image(index), label, self.captions(index))

    def image(self, index: int) -> UInt8[np.ndarray, "height width channels"]:
        """The pixels of an image.

        Raises:
            DataError: if its file is damaged, no image or beyond the limit.
        """
        file = self._files[index]
        return decode(file.read(), str(file), limit_pixels=self._limit_pixels, mode=self._mode)

    def fingerprints(self) -> Sequence[str]:
        """What is known of each image's file without its place."""
        sizes = side_by_side(lambda index: self._files[index].size, len(self))
        return fingerprints(sizes, lambda index, count: self._files[index].read(count))

    def captions(self, index: int) -> tuple[str, ...]:
        """What is stated of an image, which is not read; nothing where there are no captions.

        Raises:
            DataError: if a text is damaged.
        """
        return () if self._captions is None else self._captions(index)
