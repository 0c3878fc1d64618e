"""How often the host waits for the device in a training step: once, where the guard looks at the loss."""

import warnings
from collections import Counter
from collections.abc import Mapping

import torch
from benchmarks.gpu.bench import Bench
from benchmarks.training_runs import trainer
from torch.profiler import ProfilerActivity, profile

from thalweg.errors import ThalwegError

WAITS = ("cudaStreamSynchronize", "cudaEventSynchronize", "cudaMemcpy")
"""What the profiler calls a wait. That of the whole device at the end of a step is the clock's own."""
READ = "aten::_local_scalar_dense"
"""A number that is read of a tensor, on whichever device that is."""
LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel")
COPIES = ("cudaMemcpyAsync", "Memcpy DtoH (Device -> Pageable)", "Memcpy HtoD (Pageable -> Device)")


def run(bench: Bench) -> None:
    """Count them in a few steps of a run."""
    sizes, rounds = bench.sizes, bench.sizes.rounds
    run = trainer(
        bench.scratch,
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
    bench.figure("numbers read of tensors a step, those on the CPU included", counts.get(READ, 0.0))
    for name in COPIES:
        if name in counts:
            bench.figure(f"{name} a step", counts[name])
    for line, count in lines.most_common():
        bench.note(f"{line} waits {count / rounds:g} times a step")
    if bench.device == "cuda":  # a CPU never waits for itself
        bench.check("waits", waits(counts))


def waits(counts: Mapping[str, float]) -> float:
    """How often the host waits, by how often things happen that the profiler has seen.

    Raises:
        ThalwegError: it has seen nothing of the card, and so could see no wait either.
    """
    if not any(name.startswith(LAUNCHES) for name in counts):
        raise ThalwegError("the profiler sees no kernel of the card, so waits cannot be counted")
    return sum(counts.get(name, 0.0) for name in WAITS)


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
