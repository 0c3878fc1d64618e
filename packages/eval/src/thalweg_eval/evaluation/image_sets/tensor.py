"""Images in memory as a set: a tensor of them, with labels and captions or without."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from thalweg.arguments import check_instance, check_integers, check_texts
from thalweg.errors import DataError
from thalweg.image_sets.images import MOST_CLASSES, Piece
from thalweg.tensor_files import tensors_sha256


class TensorImages:
    """Images of a tensor.

    The tensor is read where it is and not copied, so it should stay as it is until the numbers are there.

    Args:
        images: 0..255, of 1 (grey) or 3 (RGB) channels. Floats are refused, since it is unknown which range
            is meant: :func:`thalweg.data.pixels.to_images` makes images of values in -1..1.
        labels: the class of each, or that it was generated for, counted from 0; a sequence of integers will
        do.
        captions: what each was generated for, in words.
        name: what messages call the tensor.

    Attributes:
        identity: SHA-256 of images, labels and captions.
        shape: channels, height and width.
        classes: one more than the largest label; None without labels.

    Raises:
        ConfigError: an argument is of another type.
        DataError: the tensor holds no such images, or labels or captions do not fit it.
    """

    def __init__(
        self,
        images: UInt8[Tensor, "N channels height width"],
        labels: Int[Tensor, " N"] | Sequence[int] | None = None,
        captions: Sequence[str] | None = None,
        *,
        name: str = "images",
    ) -> None:
        check_instance(name, images, Tensor, "a uint8 tensor of N x channels x height x width")
        _check_images(name, images)
        self._images = images.detach().cpu()
        count, channels, height, width = images.shape
        self.shape = (channels, height, width)
        self._labels = None if labels is None else _labels(name, labels, count)
        self.classes = None if self._labels is None else int(self._labels.max()) + 1
        self._captions = None if captions is None else check_texts("captions", captions, "['a red square']")
        if self._captions is not None and len(self._captions) != count:
            raise DataError(f"{name} has {count} images and {len(self._captions)} captions; give one of each")
        tensors = {"images": self._images, **({} if self._labels is None else {"labels": self._labels})}
        self.identity: Mapping[str, Any] = {
            "kind": "tensor",
            "images": count,
            "sha256": tensors_sha256(tensors),
            **({} if self._captions is None else {"captions": _digest(self._captions)}),
        }

    def __len__(self) -> int:
        return len(self._images)

    def captions(self, indices: Sequence[int]) -> Sequence[str] | None:
        """What these images were generated for."""
        return None if self._captions is None else [self._captions[index] for index in indices]

    def read(self, start: int, stop: int) -> Piece:
        """Images start..stop-1."""
        return Piece(
            self._images[start:stop],
            None if self._labels is None else self._labels[start:stop],
            self.captions(range(start, stop)),
        )


def _check_images(name: str, images: Tensor) -> None:
    shape = tuple(images.shape)
    if images.ndim != 4 or shape[1] not in (1, 3) or 0 in shape[2:]:
        raise DataError(
            f"{name} has the shape {shape}; images are N x channels x height x width with 1 or 3 channels"
        )
    if images.dtype != torch.uint8:
        holds_none = images.is_floating_point() and not images.is_meta and not bool(images.isfinite().all())
        fault = " and holds values that are not finite" if holds_none else ""
        raise DataError(
            f"{name} is {images.dtype}{fault}, and images are uint8, 0 to 255, since it is unknown which "
            "range was meant; thalweg.data.pixels.to_images makes them of finite values in -1..1"
        )
    if images.is_meta:
        raise DataError(f"{name} is on the device meta and holds no values; give one on another device")
    if len(images) == 0:
        raise DataError(f"{name} holds no image; an evaluation needs at least two")


def _labels(name: str, labels: Any, count: int) -> Int[Tensor, " N"]:
    found = torch.tensor(check_integers("labels", labels, "[3, 7], one of each image"), dtype=torch.int64)
    if len(found) != count:
        raise DataError(f"{name} has {count} images and {len(found)} labels; give one of each")
    low, high = int(found.min()), int(found.max())
    if not 0 <= low <= high < MOST_CLASSES:
        raise DataError(f"labels go from {low} to {high}; they count from 0 and stay below {MOST_CLASSES:,}")
    return found


def _digest(captions: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(captions).encode(errors="surrogatepass")).hexdigest()
