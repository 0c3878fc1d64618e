"""A run that is cut in half and resumed ends with the bits of the uninterrupted one.

Kernels that add in an order of their own would differ between any two runs, so it is first seen whether two
uninterrupted runs agree as they are; the comparison itself is made with deterministic algorithms.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from benchmarks.common import awake
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.pieces import PRECISIONS
from benchmarks.training_runs import trainer

from thalweg.errors import ThalwegError
from thalweg.suggestions import one_line


def run(bench: Bench) -> None:
    """Compare files of tensors, byte for byte."""
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # read when cuBLAS starts
    for precision in PRECISIONS:
        one, other = (trained(bench, precision, f"{precision}-plain-{turn}") for turn in range(2))
        same = "differ" if differing(one, other) else "agree to the bit"
        bench.note(f"{precision}: two uninterrupted runs without deterministic algorithms {same}")
        try:
            with deterministic():
                differ = compared(bench, precision, "deterministic")
        except RuntimeError as error:
            if "deterministic" not in str(error):
                raise
            bench.note(f"{precision}: compared without deterministic algorithms, since {one_line(error)}")
            differ = compared(bench, precision, "any")
        bench.check(precision, len(differ))


def compared(bench: Bench, precision: str, name: str) -> list[str]:
    """Tensor files in which a run that was cut in half and resumed differs from an uninterrupted one."""
    whole = trained(bench, precision, f"{precision}-{name}-whole")
    cut = trained(bench, precision, f"{precision}-{name}-cut", steps=bench.sizes.steps // 2)
    if not differing(whole, cut):
        raise ThalwegError("half a run equals a whole one, so that no difference could be found")
    return differing(whole, trained(bench, precision, f"{precision}-{name}-cut"))


def trained(bench: Bench, precision: str, name: str, steps: int | None = None) -> Path:
    """A run, begun or resumed; its folder."""
    place = bench.scratch / name
    run = trainer(
        place,
        bench.sizes.run,
        accelerator=bench.device,
        precision=precision,
        steps=steps or bench.sizes.steps,
        batch_size=bench.sizes.run_batch,
    )
    awake(run.components.network)
    run.train()
    return place


def differing(one: Path, other: Path) -> list[str]:
    """Tensor files of the newest checkpoint, and of the model, that are not the same in two runs."""
    ours, theirs = (
        [path for folder in (newest, run / "model") for path in folder.glob("*.safetensors")]
        for run in (one, other)
        for newest in sorted((run / "checkpoints").iterdir())[-1:]
    )
    named = {f"{path.parent.name}/{path.name}": path.read_bytes() for path in theirs}
    found = {f"{path.parent.name}/{path.name}": path.read_bytes() for path in ours}
    return sorted(name for name in {*named, *found} if named.get(name) != found.get(name))


@contextmanager
def deterministic() -> Iterator[None]:
    """Inside, algorithms are deterministic, and what has no such form raises an error."""
    before = torch.are_deterministic_algorithms_enabled()
    # Attention takes its deterministic form only where the others are refused.
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
