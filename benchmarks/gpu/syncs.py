"""How often the host waits for the device in a training step: once, where the guard looks at the loss."""

import warnings
from collections import Counter

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.bench import Bench
from benchmarks.training_runs import trainer

WAITS = {
    "cuda": ("cudaStreamSynchronize", "cudaEventSynchronize", "cudaMemcpy"),
    "cpu": ("aten::_local_scalar_dense",),
}
"""What a wait is called by the profiler. On a CPU nothing waits: there a number is read of a tensor instead."""
SEEN = (
    "aten::item",
    "aten::_local_scalar_dense",
    "cudaMemcpyAsync",
    "Memcpy DtoH (Device -> Pageable)",
    "Memcpy HtoD (Pageable -> Device)",
)


def run(bench: Bench) -> None:
    """Count them in a few steps of a run."""
    sizes, rounds = bench.sizes, bench.sizes.rounds
    run = trainer(
        bench.scratch / "run",
        sizes.run,
        accelerator=bench.device,
        precision="bf16-mixed",
        steps=1000,
        batch_size=sizes.run_batch,
    )
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if bench.device == "cuda" else [])]
    with run.rehearsed() as loop:
        loop.time_steps(0, sizes.warm)
        with profile(activities=activities) as watched:
            loop.time_steps(sizes.warm, rounds)
        counts = {event.key: event.count / rounds for event in watched.key_averages()}
        lines = _lines(loop, sizes.warm + rounds, rounds) if bench.device == "cuda" else Counter()
    for name in SEEN:
        if name in counts:
            bench.figure(f"{name} a step", counts[name])
    for line, count in lines.most_common():
        bench.note(f"{line} waits {count / rounds:g} times a step")
    bench.check("waits", sum(counts.get(name, 0.0) for name in WAITS[bench.device]))


def _lines(loop: object, first: int, count: int) -> Counter[str]:
    """The lines of code that wait."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            loop.time_steps(first, count)  # type: ignore[attr-defined]
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return Counter(
        f"{one.filename.rpartition('/src/')[2]}:{one.lineno}"
        for one in caught
        if "synchroniz" in str(one.message)
    )
