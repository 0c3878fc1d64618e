"""Scaling of an evaluation over two processes: its rate against that of two independent ones.

An EfficientNet-lite0 looks at random images in an .npz. Two evaluations of half the images each, side by side
and independent, are what two processes could do at most on this machine; one evaluation of all of them by two
processes should come near to it. Both pay for starting their processes and for reading the weights.
"""

from common import Verdict  # isort: skip

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SCALING = 0.9
SHARE = "1"  # threads a process


def images(path: Path, count: int, seed: int) -> Path:
    draws = np.random.default_rng(seed)
    np.savez(path, arr_0=draws.integers(0, 256, (count, 64, 64, 3), dtype=np.uint8))
    return path


def started(samples: Path, reference: Path, work: Path, devices: int) -> subprocess.Popen[str]:
    arguments = [
        "evaluate", str(samples), "--reference", str(reference), "--metrics", "frechet_distance@lite0",
        "--devices", str(devices), "--work", str(work), "--json",
    ]  # fmt: skip
    code = "import sys; from thalweg.cli.main import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": SHARE},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def ended(processes: list[subprocess.Popen[str]]) -> list[dict[str, object]]:
    told = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        sys.exit("an evaluation failed")
    return [json.loads(text) for text in told]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=4000)
    count = parser.parse_args().images
    verdict = Verdict()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        reference = images(folder / "reference.npz", 64, 0)
        whole = images(folder / "whole.npz", count, 1)
        halves = [images(folder / f"half{rank}.npz", count // 2, 2 + rank) for rank in range(2)]
        works = [folder / f"work{rank}" for rank in range(3)]
        for work in works:  # the reference's statistics are there beforehand
            ended([started(reference, reference, work, 1)])
        begun = time.perf_counter()
        ended([started(half, reference, work, 1) for half, work in zip(halves, works, strict=False)])
        independent = time.perf_counter() - begun
        begun = time.perf_counter()
        ended([started(whole, reference, works[2], 2)])
        shared = time.perf_counter() - begun
        apart, together = count / independent, count / shared
        print(f"images/s of two independent ones: {apart:.1f}, of two processes: {together:.1f}")
        verdict.at_least("rate of two processes, of two independent ones", independent / shared, SCALING)
    verdict.exit()


if __name__ == "__main__":
    main()
