"""Small images on disk in every layout that a source reads."""

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLASSES = ("cat", "dog", "newt")


def pixels(number: int, height: int = 8, width: int = 8, channels: int = 3) -> np.ndarray:
    """Noise; another for each number."""
    return np.random.default_rng(number).integers(0, 256, (height, width, channels), np.uint8)


def encoded(image: np.ndarray, form: str = "png", **options: Any) -> bytes:
    """An image file."""
    file = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(file, form, **options)
    return file.getvalue()


def image_folder(folder: Path, each: int = 4, edge: int = 8, channels: int = 3) -> Path:
    """``each`` images of each class, class after class."""
    for number in range(each * len(CLASSES)):
        name = CLASSES[number // each]
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / f"{number:03d}.png").write_bytes(encoded(pixels(number, edge, edge, channels)))
    return folder


def tar(path: Path, members: dict[str, bytes]) -> Path:
    """A tar file of plain members."""
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def image_tars(folder: Path, count: int = 12, parts: int = 2) -> Path:
    """Labelled images in several tar files."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in range(parts):
        members = {}
        for number in range(part * count // parts, (part + 1) * count // parts):
            members[f"{number:03d}.png"] = encoded(pixels(number))
            members[f"{number:03d}.cls"] = str(number % len(CLASSES)).encode()
        tar(folder / f"part-{part:02d}.tar", members)
    return folder


def idx(array: np.ndarray) -> bytes:
    """An idx file of bytes."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def idx_folder(folder: Path, count: int = 12, edge: int = 6, zipped: bool = True) -> Path:
    """Both parts, as the MNIST family is distributed."""
    folder.mkdir(parents=True, exist_ok=True)
    for start, part in enumerate(("train", "t10k")):
        images = np.stack([pixels(100 * start + number, edge, edge, 1)[:, :, 0] for number in range(count)])
        files = {"images-idx3": idx(images), "labels-idx1": idx(np.arange(count, dtype=np.uint8) % 3)}
        for name, content in files.items():
            path = folder / f"{part}-{name}-ubyte{'.gz' if zipped else ''}"
            path.write_bytes(gzip.compress(content, mtime=0) if zipped else content)
    return folder


def captioned_folder(folder: Path, count: int = 3, layout: str = "txt") -> Path:
    """Images with two captions each, beside them or as MS-COCO has them."""
    folder.mkdir(parents=True, exist_ok=True)
    said = {number: [f"picture {number}", f"number {number} again"] for number in range(count)}
    for number, captions in said.items():
        (folder / f"{number:03d}.png").write_bytes(encoded(pixels(number)))
        if layout == "txt":
            (folder / f"{number:03d}.txt").write_text("\n".join(captions) + "\n")
    if layout == "coco":
        images = [{"id": 50 - number, "file_name": f"{number:03d}.png"} for number in said]
        annotations = [
            {"id": 9, "image_id": 50 - number, "caption": caption}
            for number, captions in said.items()
            for caption in captions
        ]
        told = json.dumps({"info": {}, "images": images, "annotations": annotations})
        (folder / "captions_train.json").write_text(told)
    return folder


def parquet_rows(folder: Path, count: int = 12) -> Path:
    """Images in a Parquet file, as the library ``datasets`` writes it."""
    import datasets

    rows = {"image": [{"bytes": encoded(pixels(number)), "path": None} for number in range(count)]}
    features = datasets.Features({"image": datasets.Image()})
    folder.mkdir(parents=True, exist_ok=True)
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict(rows, features=features).to_parquet(folder / "train-00000-of-00001.parquet")
    return folder


def every_source(folder: Path) -> None:
    """One of each, under the names that the contract tests know."""
    image_folder(folder / "images")
    image_tars(folder / "tars")
    idx_folder(folder / "idx")
    captioned_folder(folder / "captioned")
    parquet_rows(folder / "parquet")
