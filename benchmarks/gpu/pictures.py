"""Data that need no download: random latents and images in files, Fashion-MNIST, or digits in its place."""

import gzip
import io
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import thalweg
from thalweg.data.shards import ShardHeader, ShardWriter
from thalweg.randomness import generator
from thalweg.storage import Location

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
CLASSES = 4


def write_latents(folder: Path, count: int) -> dict[str, Any]:
    """Posteriors 4x32x32 in float16, as ``thalweg encode`` stores them; their data set."""
    header = ShardHeader(
        kind="posterior",
        count=count,
        shape=(4, 32, 32),
        dtype="float16",
        classes=1000,
        autoencoder={"type": "noise"},
        scale=0.18215,
    )
    writer = ShardWriter(Location(folder), header, shard_samples=-(-count // 4))
    for number in range(writer.shards):
        draws, several = generator(0, "latents", number), len(writer.samples(number))
        mean = torch.randn(several, *header.shape, generator=draws)
        labels = torch.randint(1000, (several,), generator=draws)
        writer.write_shard(number, {"mean": mean.half(), "std": mean.abs().half(), "labels": labels})
    writer.finish()
    return {"type": "shards", "url": str(folder), "validation": max(1, count // 16)}


def write_images(path: Path, count: int, edge: int) -> dict[str, Any]:
    """A tar file of JPEG images as smooth as photographs, with classes; their data set."""

    def encoded(number: int) -> bytes:
        coarse = np.random.default_rng(number).integers(0, 256, (edge // 8, edge // 8, 3), np.uint8)
        file = io.BytesIO()
        Image.fromarray(coarse).resize((edge, edge), Image.Resampling.BICUBIC).save(file, "jpeg", quality=90)
        return file.getvalue()

    with tarfile.open(path, "w") as archive, ThreadPoolExecutor() as pool:
        for number, content in enumerate(pool.map(encoded, range(count))):
            for name, member in (
                (f"{number:06d}.jpg", content),
                (f"{number:06d}.cls", b"%d" % (number % CLASSES)),
            ):
                info = tarfile.TarInfo(name)
                info.size = len(member)
                archive.addfile(info, io.BytesIO(member))
    source = {"type": "tar", "url": str(path)}
    return {"type": "images", "size": edge, "channels": 3, "flip": True, "source": source}


def fashion(given: Path | None, scratch: Path) -> tuple[dict[str, Any], str]:
    """The data set of Fashion-MNIST in 32x32 pixels, or of scikit-learn's digits in its place, and its name.

    Args:
        given: a folder of its files; None looks where Debian puts them.
        scratch: where digits are written as such files.
    """
    folder = DEBIAN if given is None else given
    name = "Fashion-MNIST"
    if not folder.is_dir():
        folder, name = (
            scratch / "digits",
            "scikit-learn's digits, each pixel as 4x4, for want of Fashion-MNIST",
        )
        write_digits(folder)
    source = {"type": "idx", "url": str(folder)}
    return {"type": "images", "channels": 1, "pad": 32, "validation": 0.02, "source": source}, name


def write_digits(folder: Path) -> None:
    """scikit-learn's digits as idx files of 32x32 pixels."""
    digits = thalweg.build("dataset", "digits")
    folder.mkdir()
    for name, split in (("train", digits.train), ("t10k", digits.validation)):
        images = digits.images(split.clean)[:, 0].repeat_interleave(4, 1).repeat_interleave(4, 2).numpy()
        labels = split.labels_N.to(torch.uint8).numpy()
        for what, array in (("images-idx3", images), ("labels-idx1", labels)):
            head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            path = folder / f"{name}-{what}-ubyte.gz"
            path.write_bytes(gzip.compress(head + array.tobytes(), compresslevel=1, mtime=0))
