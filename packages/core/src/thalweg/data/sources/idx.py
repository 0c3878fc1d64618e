"""MNIST and its family as they are distributed: idx files."""

import hashlib
from functools import cached_property
from threading import Lock
from typing import Any, Literal

import attrs
import numpy as np
from jaxtyping import UInt8

from thalweg.config import secret_field, url_field
from thalweg.data.contents import Contents, contents_of
from thalweg.data.sources.idx_file import parse
from thalweg.data.sources.numbering import classes_of
from thalweg.errors import DataError
from thalweg.protocols import Record
from thalweg.storage import Location

Part = Literal["train", "test"]
_PREFIX = {"train": "train", "test": "t10k"}


@attrs.frozen
class IdxConfig:
    """MNIST, Fashion-MNIST and their kin: ``{train,t10k}-{images-idx3,labels-idx1}-ubyte``, gzipped or not,
    also with a dot before ``idx``.

    Attributes:
        url: the folder that holds the files; over http, its address.
        storage_options: options of its file system, such as credentials; never written anywhere.
        part: ``train`` (60,000 images) or ``test`` (10,000).
    """

    url: str = url_field()
    storage_options: dict[str, Any] = secret_field()
    part: Part = "train"

    def build(self) -> "IdxSource":
        """Read the labels; the images are read with the first one.

        Raises:
            DataError: if a file is missing, or the labels are damaged.
        """
        return IdxSource(Location(self.url, self.storage_options), self.part)


class IdxSource:
    """Grey images in memory, in the order of the file.

    Args:
        root: the folder.
        part: which of its two pairs of files.

    Raises:
        DataError: if a file is missing, or the labels are damaged.
    """

    class_names: tuple[str, ...] = ()
    captioned = False

    def __init__(self, root: Location, part: Part) -> None:
        self._part = part
        self._images_at = _found(root, f"{_PREFIX[part]}-images", "idx3-ubyte")
        self._labels_at = _found(root, f"{_PREFIX[part]}-labels", "idx1-ubyte")
        self._lock = Lock()
        self._images: UInt8[np.ndarray, "N height width"] | None = None
        self.labels: list[int] = parse(self._labels_at.read(), str(self._labels_at), 1).tolist()
        self.classes = classes_of(str(self._labels_at), self.labels)

    @cached_property
    def contents(self) -> Contents:
        """All images and labels, gzipped or not; the images are read for it."""
        return contents_of(
            [self._key(index) for index in range(len(self))],
            files=(hashlib.sha256(image).hexdigest() for image in self._all()),
            labels=self.labels,
            classes=self.classes,
        )

    @property
    def identity(self) -> str:
        """What the source is: a hash of its contents."""
        return self.contents.identity("idx")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Record:
        label = self.labels[index]
        # A copy, since what comes from a file cannot be written to.
        image = self._all()[index][:, :, None].copy()
        return Record(self._key(index), image, label)

    def _key(self, index: int) -> str:
        return f"{self._part}/{index:05d}"

    def _all(self) -> UInt8[np.ndarray, "N height width"]:
        with self._lock:
            if self._images is None:
                images = parse(self._images_at.read(), str(self._images_at), 3)
                if len(images) != len(self.labels):
                    raise DataError(
                        f"{self._images_at} holds {len(images)} images and {self._labels_at} "
                        f"{len(self.labels)} labels; give files that belong together"
                    )
                self._images = images
            return self._images


def _found(root: Location, start: str, end: str) -> Location:
    # With a dot as on the page that MNIST was first published on, unpacked by some browsers.
    names = [f"{start}{mark}{end}{suffix}" for mark in "-." for suffix in ("", ".gz")]
    for name in names:
        if (root / name).exists():
            return root / name
    raise DataError(
        f"there is no {' or '.join(names[:2])} in {root}; set the source's url to the folder of idx files"
    )
