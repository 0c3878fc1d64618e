"""What two processes do together, seen from inside; started under ``torchrun`` by test_exchanges.py.

``python two_processes.py FOLDER`` prints, from the first process, as JSON: how often gradients were
exchanged in runs that accumulate once and three times; and what became of a run in which the loss of the
second process alone was not finite in its second step.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from thalweg.errors import DivergenceError
from thalweg.training.trainer import Trainer
from thalweg.types import ObjectiveValue, Step
from tiny_runs import tiny

STEPS = 3
GRADIENTS = {"ddp": "gloo:all_reduce", "fsdp": "reduce_scatter"}


class BadOnOne:
    """The velocity loss, not finite in one evaluation of the second process."""

    weight = 1.0

    def __init__(self, rank: int) -> None:
        self.rank, self.calls = rank, 0

    def __call__(self, step: Step) -> ObjectiveValue:
        # The first evaluation looks for parameters without gradients.
        self.calls += torch.is_grad_enabled()
        factor = float("nan") if self.rank == 1 and self.calls == 3 else 1.0
        error = (step.prediction.velocities[-1] - step.plan.velocity).square().mean(dim=(1, 2, 3))
        return ObjectiveValue(error * factor)


def trainer(run_dir: Path, strategy: str, **training: Any) -> Trainer:
    config = tiny(steps=STEPS, validate_every=0, checkpoint_every=0, **training)
    return Trainer(config, run_dir, accelerator="cpu", strategy=strategy, quiet=True)


def exchanges(folder: Path, strategy: str, accumulate: int) -> int:
    run = trainer(folder / f"{strategy}-{accumulate}", strategy, accumulate=accumulate, batch_size=12)
    with profile(activities=[ProfilerActivity.CPU]) as watched:
        run.train()
    return sum(event.count for event in watched.key_averages() if GRADIENTS[strategy] in event.key)


def bad_on_one(folder: Path, strategy: str, nonfinite: str) -> Any:
    run = trainer(folder / f"{strategy}-{nonfinite}", strategy, nonfinite=nonfinite)
    run.components.objectives.clear()  # type: ignore[attr-defined]
    run.components.objectives["bad"] = BadOnOne(run.rank)  # type: ignore[index]
    try:
        result = run.train()
    except DivergenceError as error:
        return str(error)
    return {"step": result.step, "skipped": result.numbers["skipped"], "loss": result.numbers["loss"]}


def main(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for strategy in GRADIENTS:
        found[f"{strategy} exchanges"] = [exchanges(folder, strategy, one) for one in (1, 3)]
        found[f"{strategy} skip"] = bad_on_one(folder, strategy, "skip")
        found[f"{strategy} stop"] = bad_on_one(folder, strategy, "stop")
    return found


if __name__ == "__main__":
    outcome = main(Path(sys.argv[1]))
    # Both must say the same; each says it for itself.
    Path(sys.argv[1], f"outcome-{torch.distributed.get_rank()}.json").write_text(
        json.dumps(outcome), encoding="utf-8"
    )
