"""Every strategy and precision on one device: a tiny run's numbers are those of a plain run in float32."""

import json
import os
import socket
import typing
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.common import awake
from benchmarks.gpu.bench import Bench
from benchmarks.training_runs import trainer
from torch import distributed

from thalweg.errors import ConfigError
from thalweg.machine import Precision

STRATEGIES = ("auto", "ddp", "fsdp")
REFUSED = {("fsdp", "16-mixed")}
"""What the library refuses by design."""
_NOT_OFFERED = ("cpu", "16-mixed")


def run(bench: Bench) -> None:
    """Compare losses and gradient norms of all."""
    plain = numbers(bench, "auto", "32-true")
    exact, mixed, refused = [], [], 0
    for strategy in STRATEGIES:
        for precision in typing.get_args(Precision):
            try:
                found = numbers(bench, strategy, precision)
            except ConfigError as error:
                by_design = (strategy, precision) in REFUSED or (bench.device, precision) == _NOT_OFFERED
                refused += not by_design
                bench.note(f"{strategy}, {precision} is refused: {error}")
                continue
            difference = max(abs(one - two) / abs(two) for one, two in zip(found, plain, strict=True))
            bench.figure(f"{strategy}, {precision}: largest relative difference", difference)
            (exact if precision == "32-true" else mixed).append(difference)
    bench.check("32-true", max(exact))
    bench.check("mixed", max(mixed))
    bench.check("refused", refused)


def numbers(bench: Bench, strategy: str, precision: str) -> list[float]:
    """Loss and gradient norm of every step of a tiny run."""
    place = bench.scratch / f"{strategy}-{precision}-{len(list(bench.scratch.iterdir()))}"
    with alone():
        run = trainer(
            place,
            "tiny",
            accelerator=bench.device,
            strategy=strategy,
            precision=precision,
            steps=bench.sizes.steps,
            batch_size=4,
            optimizer={"lr": 1e-3},
        )
        awake(run.components.network)  # else every loss would be that of a network which answers zero
        run.train()
    lines = (place / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [float(json.loads(line)[name]) for line in lines for name in ("loss", "grad_norm")]


@contextmanager
def alone() -> Iterator[None]:
    """Inside, this process is the only one of a run, as if a launcher had started it."""
    before = dict(os.environ)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "NODE_RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "1",
    }
    try:
        yield
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()
        os.environ.clear()
        os.environ.update(before)
