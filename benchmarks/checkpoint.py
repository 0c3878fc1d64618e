"""Saving a checkpoint: its speed against ``dd conv=fsync``, and how long the next step waits for it.

The state of a run of DeepFlow-B/2-2T, weights, averages and two moments, about 2 GB; ``--depth`` takes fewer
blocks. Each round ``dd`` writes as many bytes to a fresh file beside. Then saves go on in the background
while a step computes, and what is counted is what the step waits: the call, and the wait for the copy before
weights may change.
"""

from common import IMAGENET, Verdict  # isort: skip

import argparse
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import torch
from lightning_fabric import Fabric

import thalweg
from thalweg import checkpoint
from thalweg.averages.ema import EMA
from thalweg.optimizers.adamw import AdamW
from thalweg.training.checkpointing import CheckpointWriter
from thalweg.training.optimizer import make_optimizer
from thalweg.training.run_directory import RunDirectory
from thalweg.training.state import RunState
from thalweg.training.step import Losses

SPEED, WAIT = 0.8, 0.05


class Run:
    """A state whose step is as long as is asked for."""

    def __init__(self, depth: int, fabric: Fabric) -> None:
        backbone = {"type": "dit", "patch": 2, "width": 768, "depth": depth, "heads": 12}
        network = thalweg.compose(backbone=backbone, refiner="vera", branches=2, facts=IMAGENET)
        losses = Losses(network, {})
        fabric.setup_module(losses)
        self._optimizer = make_optimizer(AdamW(1e-4, (0.9, 0.999), 0.0), losses, fused=True)
        self.state = RunState(losses, self._optimizer, EMA(network, 0.9999), shards=1)
        for parameter in losses.parameters():
            parameter.grad = torch.full_like(parameter, 1e-3)
        self.waited = 0.0
        self.step(0.0)

    def step(self, seconds: float) -> None:
        """Compute for a while as gradients do, on this thread; then change everything."""
        factor, end = torch.randn(1024, 1024), time.perf_counter() + seconds
        while time.perf_counter() < end:
            factor @ factor
        begun = time.perf_counter()
        self.state.wait_until_copied()
        self.waited = time.perf_counter() - begun
        self._optimizer.step()
        self.state.averages.update(0)
        self.state.step += 1


def seconds_of_dd(path: Path, count: int) -> float:
    """What ``dd`` takes to write as many bytes and sync them."""
    chunk = 4 * 2**20
    command = ["dd", "if=/dev/zero", f"of={path}", f"bs={chunk}", f"count={count // chunk}", "conv=fsync"]
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    taken = time.perf_counter() - begun
    path.unlink()
    return taken * count / (count // chunk * chunk)


def saving(run: Run, folder: Path, fabric: Fabric, rounds: int, verdict: Verdict) -> float:
    """Saves and ``dd`` in turns; median seconds of a save."""
    # None is removed while the clock runs, as dd removes none.
    saver = CheckpointWriter(RunDirectory(folder / "inline"), {}, rounds + 2, 0, fabric, asynchronous=False)
    saves, others, count = [], [], 0
    for turn in range(rounds + 1):
        run.state.step += 1
        begun = time.perf_counter()
        saver.save(run.state)
        taken = time.perf_counter() - begun
        newest = checkpoint.checkpoints(folder / "inline" / "checkpoints")[-1]
        count = sum(path.stat().st_size for path in newest.iterdir())
        other = seconds_of_dd(folder / "dd", count)
        if turn:  # the first one is for warming up
            saves.append(taken)
            others.append(other)
            print(f"{count / 1e9:.2f} GB: saved in {taken:.2f} s, dd {other:.2f} s", flush=True)
        checkpoint.verify(newest)
        shutil.rmtree(newest)
    ours, theirs = statistics.median(saves), statistics.median(others)
    print(f"save {count / ours / 1e9:.2f} GB/s, dd {count / theirs / 1e9:.2f} GB/s")
    verdict.at_least("speed of a save by that of dd", theirs / ours, SPEED)
    return ours


def waiting(run: Run, folder: Path, fabric: Fabric, seconds: float, rounds: int, verdict: Verdict) -> None:
    """Saves in the background of steps that compute for about as long."""
    saver = CheckpointWriter(RunDirectory(folder / "background"), {}, 1, 0, fabric, asynchronous=True)
    shares = []
    for turn in range(rounds + 1):
        begun = time.perf_counter()
        saver.save(run.state)
        called = time.perf_counter() - begun
        run.step(max(1.5 * seconds, 0.5))
        waited = called + run.waited
        saver.wait()
        taken = time.perf_counter() - begun
        if turn:  # the first one pays for the memory
            shares.append(waited / seconds)
            print(f"call {called:.4f} s, wait for the copy {run.waited:.4f} s, all over after {taken:.2f} s")
    verdict.at_most("share of a save's time that a step waits", statistics.median(shares), WAIT)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--depth", type=int, default=12, help="blocks; 12 are DeepFlow-B/2-2T")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--folder", type=Path, default=Path(), help="on the disk to be measured")
    given = options.parse_args()
    verdict, fabric = Verdict(), Fabric(accelerator="cpu", devices=1)
    run = Run(given.depth, fabric)
    folder = Path(tempfile.mkdtemp(dir=given.folder))
    try:
        seconds = saving(run, folder, fabric, given.rounds, verdict)
        waiting(run, folder, fabric, seconds, given.rounds, verdict)
    finally:
        shutil.rmtree(folder)
    verdict.exit()


if __name__ == "__main__":
    main()
