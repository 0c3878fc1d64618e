"""NumPy's ``.npz`` as the ADM evaluator takes it, read and written row by row, nothing unpickled.

``arr_0`` holds the images, uint8 of N x height x width x 3; ``arr_1``, if there, the labels; captions lie in
the note beside it. Files that ``numpy.savez`` made are not compressed, so any row is found at once;
compressed ones are read forwards.
"""

import threading
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Shaped
from numpy.lib import format as npy

from thalweg.errors import DataError
from thalweg.evaluation.images import Piece
from thalweg.evaluation.notes import noted_captions
from thalweg.files import sha256

IMAGES, LABELS = "arr_0", "arr_1"

_UNREADABLE = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError)


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
            raise DataError(f"{path} has no {IMAGES}; it has {', '.join(sorted(names)) or 'nothing'}")
        self._file: zipfile.ZipExtFile | None = None
        with _opened(path, IMAGES) as file:
            shape, dtype = _header(path, IMAGES, file)
            self._offset = file.tell()
        _check_images(path, shape, dtype)
        self._count, height, width, channels = shape
        self.shape = (channels, height, width)
        self._labels = _labels(path, self._count) if LABELS in names else None
        self.classes = None if self._labels is None else int(self._labels.max(initial=-1)) + 1 or None
        self.identity: Mapping[str, Any] = {"kind": "npz", "images": self._count, "sha256": sha256(path)}
        self._captions = noted_captions(path, self.identity)

    def __len__(self) -> int:
        return self._count

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
                    self._file = _opened(self._path, IMAGES)
                    weakref.finalize(self, self._file.close)
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
        with zipfile.ZipFile(path) as archive:
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
    with _opened(path, name) as file:
        try:
            _header(path, name, file)
            file.seek(0)
            # By way of memory, as numpy counts on a real file where it can.
            return np.asarray(npy.read_array(BytesIO(file.read()), allow_pickle=False))
        except _UNREADABLE as error:
            raise _damaged(path, error) from error


def write_images(
    path: Path,
    shape: tuple[int, int, int],
    count: int,
    pieces: Iterable[Piece],
) -> None:
    """Write images as they come: ``arr_0``, and labels as ``arr_1`` where they have them.

    Args:
        path: the file, written in place: give one that nobody sees yet.
        shape: channels, height and width.
        count: how many there will be.
        pieces: all of them in order.
    """
    channels, height, width = shape
    labels: list[Shaped[np.ndarray, ...]] = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
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


def _opened(path: Path, name: str) -> zipfile.ZipExtFile:
    try:
        # The archive stays open for as long as its member is.
        with zipfile.ZipFile(path) as archive:
            return cast(zipfile.ZipExtFile, archive.open(f"{name}.npy"))
    except _UNREADABLE as error:
        raise _damaged(path, error) from error


def _header(path: Path, name: str, file: zipfile.ZipExtFile) -> tuple[tuple[int, ...], np.dtype[Any]]:
    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except _UNREADABLE as error:
        raise _damaged(path, error) from error
    if dtype.hasobject:
        raise DataError(f"{name} of {path} holds Python objects, which are not read; store plain numbers")
    if fortran and len(shape) > 1 and name == IMAGES:
        raise DataError(f"{name} of {path} is in Fortran order; store it in C order")
    return shape, dtype


def _check_images(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if len(shape) != 4 or shape[3] not in (1, 3):
        raise DataError(
            f"{IMAGES} of {path} has the shape {shape}; images are N x height x width x channels with 1 or 3 "
            "channels"
        )
    if dtype != np.uint8:
        raise DataError(
            f"{IMAGES} of {path} is {dtype}, and images are uint8, 0 to 255; scale, round and convert them "
            "first, since nobody can tell which range was meant"
        )


def _labels(path: Path, count: int) -> Shaped[np.ndarray, "..."]:
    labels = read_array(path, LABELS)
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise DataError(
            f"{LABELS} of {path} is {labels.dtype} of shape {labels.shape}, not {count} whole numbers"
        )
    return labels.astype(np.int64)


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is damaged: {error}; restore it")
