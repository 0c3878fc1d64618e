"""NumPy's ``.npz`` as the ADM evaluator takes it, read and written row by row, nothing unpickled.

``arr_0`` holds the images, uint8 of N x height x width x 3; ``arr_1``, if there, the labels; captions are in
the note beside it. Files that ``numpy.savez`` made are not compressed, so any row is found at once;
compressed ones are read forwards. Nothing that a file says of itself is trusted: sizes have bounds, and
checksums are compared before the first row is used.
"""

import math
import threading
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import attrs
import numpy as np
import torch
from jaxtyping import Shaped
from numpy.lib import format as npy

from thalweg.errors import DataError
from thalweg.files import sha256, whole
from thalweg.image_sets.images import MOST_CLASSES, Piece
from thalweg.image_sets.notes import noted_captions
from thalweg.regular import opened
from thalweg.suggestions import one_line

IMAGES, LABELS = "arr_0", "arr_1"

_UNREADABLE = (
    *(OSError, ValueError, EOFError, KeyError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, NotImplementedError),
)
_PIECE = 2**20
_LARGEST_HEADER = 10_000  # bytes, as numpy bounds it
_HEADERS: Mapping[Any, Any] = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
# Images shrink to a few times less; a file that fills memory, to 1,000.
_MOST_PACKED, _ALWAYS = 64, 64 * 2**20
_NAMED, _SHOWN = 8, 200


class NpzImages:
    """The images of an ``.npz``.

    Args:
        path: the file.

    Attributes:
        identity: its SHA-256.
        shape: channels, height and width.
        classes: one more than the largest label; None without labels.

    Raises:
        DataError: if it is none, holds no uint8 images of 1 or 3 channels, or its note is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        names = members(path)
        if IMAGES not in names:
            raise DataError(f"{path} has no {IMAGES}; it has {_listed(names) or 'nothing'}")
        self._file: zipfile.ZipExtFile | None = None
        with _member(path, IMAGES) as (file, size):
            header = _header(path, IMAGES, file, size)
            _check_images(path, header)
            # All of it: rows that are read in any order have no checksum.
            left = size - header.size
            while piece := file.read(_PIECE):
                left -= len(piece)
            if left:
                raise ValueError(f"{IMAGES} is shorter than it says")
        self._offset = header.size
        self._count, height, width, channels = header.shape
        self.shape = (channels, height, width)
        self._labels = _labels(path, self._count) if LABELS in names else None
        self.classes = None if self._labels is None else int(self._labels.max(initial=-1)) + 1 or None
        self.identity: Mapping[str, Any] = {"kind": "npz", "images": self._count, "sha256": sha256(path)}
        self._captions = noted_captions(path, self.identity)

    def __len__(self) -> int:
        return self._count

    def captions(self, indices: Sequence[int]) -> Sequence[str] | None:
        """Their captions, where the note beside them has them."""
        return None if self._captions is None else [self._captions[index] for index in indices]

    def read(self, start: int, stop: int) -> Piece:
        """Rows start..stop-1.

        Raises:
            DataError: if the file is damaged.
        """
        channels, height, width = self.shape
        row = channels * height * width
        try:
            with self._lock:
                if self._file is None:
                    stack = ExitStack()
                    self._file, _ = stack.enter_context(_member(self._path, IMAGES))
                    weakref.finalize(self, stack.close)
                self._file.seek(self._offset + start * row)
                content = self._file.read((stop - start) * row)
        except _UNREADABLE as error:
            raise _damaged(self._path, error) from error
        if len(content) != (stop - start) * row:
            raise DataError(f"{self._path} ends before image {stop - 1}; restore it")
        images = np.frombuffer(bytearray(content), np.uint8).reshape(-1, height, width, channels)
        labels = None if self._labels is None else torch.from_numpy(self._labels[start:stop])
        captions = None if self._captions is None else self._captions[start:stop]
        return Piece(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), labels, captions)


def members(path: Path) -> set[str]:
    """The names of a file's arrays, and of what else it holds.

    Raises:
        DataError: if it is missing or no ``.npz``.
    """
    try:
        with opened(path) as file, zipfile.ZipFile(file) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except _UNREADABLE as error:
        raise DataError(f"{path} is no .npz: {error}; write it by numpy.savez") from error


def read_array(path: Path, name: str) -> Shaped[np.ndarray, "..."]:
    """A whole array of numbers.

    Raises:
        DataError: if it is missing, damaged, or would have to be unpickled.
    """
    with _member(path, name) as (file, size):
        header = _header(path, name, file, size)
        content = file.read(size)
        flat: Shaped[np.ndarray, ...] = np.frombuffer(content, header.dtype)
        return flat.reshape(header.shape[::-1]).T if header.fortran else flat.reshape(header.shape)


def write_images(
    path: Path,
    shape: tuple[int, int, int],
    count: int,
    pieces: Iterable[Piece],
) -> None:
    """Write images as they come: ``arr_0``, and labels as ``arr_1`` where they have them.

    Args:
        path: the file; there whole, or what was there before.
        shape: channels, height and width.
        count: how many there will be.
        pieces: all of them in order.

    Raises:
        ThalwegError: if it cannot be written.
    """
    channels, height, width = shape
    labels: list[Shaped[np.ndarray, ...]] = []
    with whole(path) as out, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        with archive.open(f"{IMAGES}.npy", "w", force_zip64=True) as file:
            _write_header(file.write, (count, height, width, channels), np.dtype(np.uint8))
            for piece in pieces:
                file.write(piece.images.permute(0, 2, 3, 1).contiguous().numpy().tobytes())
                if piece.labels is not None:
                    labels.append(piece.labels.numpy().astype(np.int64))
        if labels:
            with archive.open(f"{LABELS}.npy", "w") as file:
                _write_header(file.write, (count,), np.dtype(np.int64))
                file.write(np.concatenate(labels).tobytes())


def _write_header(write: Callable[[bytes], Any], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    header = BytesIO()
    npy.write_array_header_1_0(
        header, {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    )
    write(header.getvalue())


@attrs.frozen
class _Header:
    """What stands before an array's numbers, and how many bytes that takes."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    size: int


@contextmanager
def _member(path: Path, name: str) -> Iterator[tuple[zipfile.ZipExtFile, int]]:
    """An array's file within the archive, and its length; its checksum is compared at its end."""
    try:
        with opened(path) as raw, zipfile.ZipFile(raw) as archive:
            info = archive.getinfo(f"{name}.npy")
            raw.seek(0, 2)
            most = _ALWAYS + _MOST_PACKED * min(info.compress_size, raw.tell())
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{name} is packed in a way that numpy does not know")
            if info.file_size > most:
                raise ValueError(
                    f"{name} would unpack from {info.compress_size:,} to {info.file_size:,} bytes, more than "
                    "images do"
                )
            with archive.open(info) as file:
                yield cast(zipfile.ZipExtFile, file), info.file_size
    except _UNREADABLE as error:
        raise _damaged(path, error) from error


def _header(path: Path, name: str, file: zipfile.ZipExtFile, size: int) -> _Header:
    """Read it, and leave the file at the first number."""
    start = BytesIO(file.read(_LARGEST_HEADER + 16))
    try:
        shape, fortran, dtype = _HEADERS[npy.read_magic(start)](start)
    except Exception as error:  # numpy and its parser raise a dozen kinds
        raise DataError(
            f"{path} is damaged: {name} has no header of numpy's ({one_line(error)[:_SHOWN]}); restore it"
        ) from error
    if dtype.hasobject:
        raise DataError(f"{name} of {path} holds Python objects, which are not read; store plain numbers")
    if dtype.kind not in "biuf" or any(edge < 0 for edge in shape):
        raise DataError(f"{name} of {path} is no array of numbers; store plain numbers")
    header = _Header(shape, fortran, dtype, start.tell())
    there, wanted = size - header.size, math.prod(shape) * dtype.itemsize
    if there != wanted:
        cut = f"ends before image {shape[0] - 1}" if name == IMAGES and shape else f"ends within {name}"
        how = cut if there < wanted else f"holds more in {name} than it says"
        raise DataError(f"{path} {how}; restore it")
    file.seek(header.size)
    return header


def _check_images(path: Path, header: _Header) -> None:
    shape, dtype = header.shape, header.dtype
    if header.fortran and len(shape) > 1:
        raise DataError(f"{IMAGES} of {path} is in Fortran order; store it in C order")
    if len(shape) != 4 or shape[3] not in (1, 3) or 0 in shape[1:]:
        raise DataError(
            f"{IMAGES} of {path} has the shape {shape}; images are N x height x width x channels with 1 or 3 "
            "channels"
        )
    if dtype != np.uint8:
        raise DataError(
            f"{IMAGES} of {path} is {dtype}, and images are uint8, 0 to 255; scale, round and convert them "
            "first, since it is unknown which range was meant"
        )


def _labels(path: Path, count: int) -> Shaped[np.ndarray, "..."]:
    labels = read_array(path, LABELS)
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise DataError(
            f"{LABELS} of {path} is {labels.dtype} of shape {labels.shape}, not {count} whole numbers"
        )
    if count and not 0 <= int(labels.min()) <= int(labels.max()) < MOST_CLASSES:
        raise DataError(
            f"{LABELS} of {path} goes from {labels.min()} to {labels.max()}; labels count from 0 and stay "
            f"below {MOST_CLASSES:,}"
        )
    return labels.astype(np.int64)


def _listed(names: Iterable[str]) -> str:
    """The first few, as they can be printed."""
    ordered = sorted(names)
    more = f" and {len(ordered) - _NAMED} more" if len(ordered) > _NAMED else ""
    return ", ".join(name if name.isprintable() else repr(name) for name in ordered[:_NAMED]) + more


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is damaged: {str(error)[:_SHOWN]}; restore it")
