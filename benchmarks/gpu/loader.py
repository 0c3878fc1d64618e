"""What the data pipeline reads a second, against what a training step of SiT-XL/2 takes in."""

import time
from typing import Any

from benchmarks.gpu import device
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.pictures import write_images, write_latents
from benchmarks.gpu.step import TRAINED, config_of
from benchmarks.training_runs import LATENTS

import thalweg
from thalweg.composition import composition_of
from thalweg.config import component
from thalweg.interpolant import Interpolant
from thalweg.summary import forward_flop
from thalweg.training.batches import BatchReader
from thalweg.training.launch.distributed import Peers

AHEAD = 2
"""Batches that are read ahead for each thread."""
MFU = 0.45


def run(bench: Bench) -> None:
    """Read latents as training does, and images of 256 pixels from a tar file, each once."""
    sizes = bench.sizes
    latents = write_latents(bench.scratch / "latents", sizes.latents)
    rate = read(bench, thalweg.build("dataset", latents), sizes.latent_batch)
    bench.figure(f"latents 4x32x32 of local shards, {sizes.workers} threads", rate, "samples/s")
    needed = taken_in(bench)
    bench.check("latents", rate / needed)
    images = write_images(bench.scratch / "images.tar", sizes.pictures, sizes.edge)
    rate = read(bench, thalweg.build("dataset", images), min(sizes.latent_batch, 64))
    bench.figure(
        f"JPEG images of {sizes.edge} pixels in a tar file, {sizes.workers} threads", rate, "images/s"
    )


def read(bench: Bench, data: Any, batch: int) -> float:
    """Samples a second of the first epoch: nothing of it is in memory but what the system keeps of files."""
    steps = len(data.train) // batch
    batches = thalweg.Batches(
        data.train,
        data.facts,
        component("planner", "branch_times").build(data.facts),
        Interpolant.named("linear"),
        seed=0,
        batch_size=batch,
    )
    reader = BatchReader(
        batches,
        Peers(0, 1),
        accumulate=1,
        steps=steps,
        prefetch=AHEAD * bench.sizes.workers,
        workers=bench.sizes.workers,
    )
    begun = time.perf_counter()
    try:
        reader.begin(0)
        for step in range(steps):
            reader.batch(step, 0).to(bench.place)
        device.synchronize(bench.device)
    finally:
        reader.close()
    return steps * batch / (time.perf_counter() - begun)


def taken_in(bench: Bench) -> float:
    """Samples a second that SiT-XL/2 is trained on: as the piece ``step`` has found, or at its target."""
    found = bench.found("step", "SiT-XL/2: samples a second")
    if found is not None:
        bench.figure("SiT-XL/2 is trained on", found, "samples/s")
        return found
    parts = composition_of(config_of(bench, "sit-xl-2", 1))
    flop = TRAINED * forward_flop(thalweg.compose(**parts, facts=LATENTS, device="meta"))
    best, how = device.peak(bench.device, bench.sizes.matmul)
    bench.figure(f"SiT-XL/2 would be trained on at {MFU:.0%} MFU, peak {how}", MFU * best / flop, "samples/s")
    return MFU * best / flop
