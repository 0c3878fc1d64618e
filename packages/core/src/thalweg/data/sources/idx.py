"""MNIST and its family as they are distributed: idx files, which are a magic number, sizes and bytes.

Y. LeCun, C. Cortes and C. Burges, The MNIST Database of Handwritten Digits, 1998.
"""

import gzip
import hashlib
import io
import math
import zlib
from functools import cached_property
from threading import Lock
from typing import Any, Literal

import attrs
import numpy as np
from jaxtyping import UInt8

from thalweg.config import secret_field, url_field
from thalweg.data.sources.classes import classes_of
from thalweg.data.sources.stored import StoredImages
from thalweg.errors import DataError
from thalweg.storage import Location

Part = Literal["train", "test"]
_PREFIX = {"train": "train", "test": "t10k"}
_BYTES = 0x08  # the only type of element that the family uses
_LARGEST = 2**31  # bytes that a file may hold, far beyond any of the family


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

    def build(self) -> "IdxImages":
        """Read the labels; the images are read with the first one.

        Raises:
            DataError: if a file is missing, or the labels are damaged.
        """
        root, prefix = Location(self.url, self.storage_options), _PREFIX[self.part]
        images_at = _found(root, f"{prefix}-images", "idx3-ubyte")
        labels_at = _found(root, f"{prefix}-labels", "idx1-ubyte")
        labels = parse(labels_at.read(), str(labels_at), 1).tolist()
        keys = [f"{self.part}/{index:05d}" for index in range(len(labels))]
        return IdxImages(images_at, labels_at, keys, labels)


class IdxImages(StoredImages):
    """Grey images in memory, in the order of their file.

    Args:
        images_at: their file.
        labels_at: the file of their labels.
        keys: their names.
        labels: of each.
    """

    def __init__(self, images_at: Location, labels_at: Location, keys: list[str], labels: list[int]) -> None:
        super().__init__("idx", keys, [], labels=labels, classes=classes_of(str(labels_at), labels))
        self._images_at, self._labels_at, self._lock = images_at, labels_at, Lock()

    def image(self, index: int) -> UInt8[np.ndarray, "height width 1"]:
        """A copy, since what comes from a file cannot be written to."""
        return np.array(self._all[index])[:, :, None]

    def fingerprints(self) -> list[str]:
        """All of each image, gzipped or not; the images are read for it."""
        return [hashlib.sha256(image).hexdigest() for image in self._all]

    @property
    def _all(self) -> UInt8[np.ndarray, "N height width"]:
        with self._lock:
            return self._read

    @cached_property
    def _read(self) -> UInt8[np.ndarray, "N height width"]:
        images = parse(self._images_at.read(), str(self._images_at), 3)
        if len(images) != len(self):
            raise DataError(
                f"{self._images_at} holds {len(images)} images and {self._labels_at} {len(self)} labels; "
                "give files that belong together"
            )
        return images


def _found(root: Location, start: str, end: str) -> Location:
    # With a dot as on the page that MNIST was first published on, unpacked by some browsers.
    names = [f"{start}{mark}{end}{suffix}" for mark in "-." for suffix in ("", ".gz")]
    for name in names:
        if (root / name).exists():
            return root / name
    raise DataError(
        f"there is no {' or '.join(names[:2])} in {root}; set the source's url to the folder of idx files"
    )


def parse(data: bytes, name: str, dimensions: int) -> UInt8[np.ndarray, "..."]:
    """The array that an idx file holds.

    Args:
        data: the file, gzipped if ``name`` ends so.
        name: what it is called in errors.
        dimensions: how many the array must have.

    Raises:
        DataError: if it is anything else, cut off, or longer than its header says. A gzipped file is
            unpacked no further than that.
    """
    file = io.BytesIO(data)
    try:
        with gzip.GzipFile(fileobj=file) if name.endswith(".gz") else file as content:
            shape = _shape(content.read(4 + 4 * dimensions), name, dimensions)
            size = math.prod(shape)
            # One byte more than it should hold, to see whether there is one, and for gzip's checksum.
            pixels = content.read(size + 1)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(
            f"{name} is damaged, cut off, or continues where it should end ({error}); copy it again"
        ) from error
    if len(pixels) != size:
        relation = "less" if len(pixels) < size else "more"
        raise DataError(f"{name} holds {relation} than its header says, {size} bytes; copy it again")
    return np.frombuffer(pixels, np.uint8).reshape(shape)


def _shape(header: bytes, name: str, dimensions: int) -> tuple[int, ...]:
    if len(header) < 4 + 4 * dimensions or header[:4] != bytes([0, 0, _BYTES, dimensions]):
        raise DataError(
            f"{name} is no idx file of bytes in {dimensions} dimensions (it begins with {header[:4]!r}); "
            "give the original file"
        )
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4", dimensions, 4))
    if math.prod(shape) > _LARGEST:
        raise DataError(f"{name} claims to hold {math.prod(shape)} bytes, beyond {_LARGEST}; it is damaged")
    if 0 in shape:
        raise DataError(f"{name} holds no samples; give a file that does")
    return shape
