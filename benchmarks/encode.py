"""``thalweg encode`` against its bare autoencoder: sd-vae of the published size, random weights, JPEG files.

Ours decodes and crops the images, encodes, hashes, writes and syncs shards, in one process. Against it the
same module on the same batches, decoded, cropped and stacked beforehand, its results thrown away.
"""

from common import Verdict  # isort: skip

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import attrs
import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from thalweg.config import component
from thalweg_backbones.autoencoder.architecture import Architecture
from thalweg_backbones.autoencoder.kl_autoencoder import KLAutoencoder
from thalweg_backbones.encoding import EncodingJob, encode
from thalweg_backbones.encoding.preparing import prepare

PUBLISHED = Architecture(channels=3, latent_channels=4, widths=(128, 256, 512, 512), residuals=2, groups=32)
SHARE = 0.9


def write_weights(folder: Path) -> None:
    folder.mkdir()
    draws = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        shapes = KLAutoencoder(
            "sd-vae", PUBLISHED, scale=1.0, sha256="", precision="auto", rounding="nearest"
        ).state_dict()
    tensors = {
        name: torch.randn(one.shape, generator=draws) * 0.02 + float("norm" in name and "weight" in name)
        for name, one in shapes.items()
    }
    save_file(tensors, folder / "diffusion_pytorch_model.safetensors")
    (folder / "config.json").write_text(json.dumps({"norm_num_groups": PUBLISHED.groups}))


def write_images(folder: Path, count: int, size: int) -> None:
    """Smooth noise, half as large again as what is cropped: files about as long as photographs'."""
    draws = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(draws.integers(0, 256, (size // 4, size // 3, 3), dtype=np.uint8))
        place = folder / str(number % 10)
        place.mkdir(parents=True, exist_ok=True)
        coarse.resize((2 * size, 3 * size // 2)).save(place / f"{number}.jpg", quality=92)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        write_weights(place / "weights")
        write_images(place / "images", given.images, given.size)
        verdict = Verdict()
        measure(place, given, verdict)
    verdict.exit()


def measure(place: Path, given: argparse.Namespace, verdict: Verdict) -> None:
    job = EncodingJob(
        source=str(place / "images"),
        target=str(place / "shards"),
        size=given.size,
        autoencoder={"type": "sd-vae", "weights": str(place / "weights")},
        flips=False,
        batch_size=given.batch_size,
        shard_samples=2 * given.batch_size,
    )
    autoencoder = component("autoencoder", dict(job.autoencoder)).build()
    opened = prepare(job, "cpu")
    batches = [
        opened.reader(indices).images
        for number in range(opened.layout.shards)
        for indices in opened.layout.batches(number)
    ]
    print(f"{given.images} images of {given.size} pixels, {autoencoder.identity['precision']}")
    rates: dict[str, list[float]] = {"bare": [], "encode": []}
    for attempt in range(given.rounds + 1):
        begun = time.perf_counter()
        means = [autoencoder.encode(images)[0] for images in batches]
        rates["bare"].append(given.images / (time.perf_counter() - begun))
        target = place / f"shards-{attempt}"
        outcome = encode(attrs.evolve(job, target=str(target)), device="cpu", devices="1")
        rates["encode"].append(outcome.encoded / outcome.seconds)
        if attempt == 0:
            check(target, means)
            for taken in rates.values():
                taken.clear()  # the first round warmed up
    bare, ours = (statistics.median(taken) for taken in rates.values())
    print(f"bare autoencoder {bare:.4g}, encode {ours:.4g} images a second")
    verdict.at_least("share of the bare autoencoder's rate", ours / bare, SHARE)


def check(target: Path, means: list[torch.Tensor]) -> None:
    """The shards hold what the bare autoencoder gave."""
    stored = [load_file(path)["mean"] for path in sorted(target.glob("*.safetensors"))]
    assert torch.equal(torch.cat(stored), torch.cat(means).half())


if __name__ == "__main__":
    main()
