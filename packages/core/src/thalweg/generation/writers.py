"""The files that samples are put into: ``.npz``, tar, PNG, tensors."""

import math
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from thalweg import files
from thalweg.data.grid import enlargement, grid, png_bytes, save_png
from thalweg.data.pixels import to_images
from thalweg.files import whole
from thalweg.generation.blocks import SampleBlock
from thalweg.image_sets.images import Piece
from thalweg.image_sets.npz import write_images
from thalweg.tensor_files import write_tensors

TENSORS, SETTINGS, PICTURE = "samples.safetensors", "samples.json", "samples.png"

Writer = Callable[[Path, Iterator[SampleBlock], Mapping[str, Any]], None]
"""Writes blocks that come in order, generated as described, to a path that nobody sees yet; whoever moves it
to its place syncs it before."""

_MOST_SHOWN = 100


def write_npz(path: Path, blocks: Iterator[SampleBlock], described: Mapping[str, Any]) -> None:
    """``arr_0``, uint8 of N x height x width x channels as ADM's evaluator takes it; labels as ``arr_1``."""
    first = next(blocks)
    channels, height, width = first.tensors["images"].shape[1:]

    def pieces() -> Iterator[Piece]:
        yield _piece(first)
        yield from map(_piece, blocks)

    write_images(path, (channels, height, width), int(described["sampling"]["count"]), pieces())


def write_tar(path: Path, blocks: Iterator[SampleBlock], described: Mapping[str, Any]) -> None:
    """A PNG for each sample, named by its index, its class in a ``.cls`` and its caption in a ``.txt``
    beside it."""
    with whole(path) as file, tarfile.open(fileobj=file, mode="w") as archive:
        for index, image, label, caption in _each(blocks, described):
            _add(archive, f"{index:08d}.png", _png(image))
            if label is not None:
                _add(archive, f"{index:08d}.cls", str(label).encode())
            if caption is not None:
                _add(archive, f"{index:08d}.txt", caption.encode(errors="replace"))


def write_pngs(path: Path, blocks: Iterator[SampleBlock], described: Mapping[str, Any]) -> None:
    """A folder with a PNG for each sample, named by its index, and its caption in a ``.txt`` beside it."""
    files.disk.make_folder(path)
    for index, image, _, caption in _each(blocks, described):
        _write(path / f"{index:08d}.png", _png(image))
        if caption is not None:
            _write(path / f"{index:08d}.txt", caption.encode(errors="replace"))


def write_folder(path: Path, blocks: Iterator[SampleBlock], described: Mapping[str, Any]) -> None:
    """``samples.safetensors``, and a picture where they are images of one or three channels."""
    files.disk.make_folder(path)
    every = list(blocks)
    tensors: dict[str, Tensor] = {
        name: torch.cat([block.tensors[name] for block in every])
        for name in ("x", "labels")
        if name in every[0].tensors
    }
    count, start = len(tensors["x"]), int(described["start"])
    write_tensors(path / TENSORS, {**tensors, "indices": torch.arange(start, start + count)})
    if tensors["x"].dim() == 4 and tensors["x"].shape[1] in (1, 3):
        images = to_images(tensors["x"][:_MOST_SHOWN])
        save_png(
            grid(images, _columns(len(images), tensors.get("labels")), enlargement(images)), path / PICTURE
        )


def _columns(count: int, labels: Tensor | None) -> int:
    kinds = 0 if labels is None else len(labels.unique())
    return kinds if 1 < kinds <= 16 else math.ceil(math.sqrt(count))


def _piece(block: SampleBlock) -> Piece:
    return Piece(block.tensors["images"], block.tensors.get("labels"))


def _each(
    blocks: Iterator[SampleBlock], described: Mapping[str, Any]
) -> Iterator[tuple[int, UInt8[Tensor, "channels height width"], int | None, str | None]]:
    """Index within the seed, image, class and caption, in one line, of every sample."""
    captions, first = described.get("captions"), int(described["start"])
    for block in blocks:
        labels = block.tensors.get("labels")
        for row, image in enumerate(block.tensors["images"]):
            place = block.start + row
            label = None if labels is None else int(labels[row])
            caption = None if captions is None else " ".join(captions[place].split()) + "\n"
            yield first + place, image, label, caption


def _png(image: UInt8[Tensor, "channels height width"]) -> bytes:
    pixels = image.permute(1, 2, 0).numpy()
    return png_bytes(Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, BytesIO(content))


def _write(path: Path, content: bytes) -> None:
    """A file among thousands, which are synced together in the end."""
    descriptor, left = files.disk.create(path), memoryview(content)
    try:
        while left:
            left = left[files.disk.write(descriptor, left) :]
    finally:
        os.close(descriptor)
