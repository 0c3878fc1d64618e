"""A run that is cut in half and resumed ends with the bits of the uninterrupted one.

Kernels that add in an order of their own would differ between any two runs, so it is first seen whether two
uninterrupted runs agree as they are; the comparison itself is made with deterministic algorithms.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from benchmarks.common import awake
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.pieces import PRECISIONS
from benchmarks.training_runs import trainer


def run(bench: Bench) -> None:
    """Compare files of tensors, byte for byte."""
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # read when cuBLAS starts
    for precision in PRECISIONS:
        whole, again = (trained(bench, precision, f"{precision}-{one}") for one in ("plain", "plain-again"))
        same = "agree to the bit" if not differing(whole, again) else "differ"
        bench.note(f"{precision}: two uninterrupted runs without deterministic algorithms {same}")
        with deterministic() as nondeterministic:
            whole = trained(bench, precision, f"{precision}-whole")
            cut = trained(bench, precision, f"{precision}-cut", steps=bench.sizes.steps // 2)
            assert differing(whole, cut), "half a run is as good as a whole one, so nothing could be found"
            trained(bench, precision, f"{precision}-cut")
        for operation in sorted(nondeterministic):
            bench.note(f"{precision}: there is no deterministic form of {operation}")
        bench.check(precision, len(differing(whole, cut)))


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
def deterministic() -> Iterator[set[str]]:
    """Inside, algorithms are deterministic where there are such; operations without any are gathered."""
    operations: set[str] = set()
    before = torch.are_deterministic_algorithms_enabled()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield operations
        finally:
            torch.use_deterministic_algorithms(before)
            said = [str(one.message) for one in caught]
            operations |= {
                one.split(" does not have a deterministic")[0]
                for one in said
                if "does not have a deterministic" in one
            }
