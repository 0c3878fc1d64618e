"""Two processes with Muon, a loss that asks the averaged network, and two averages.

``python two_optimizers.py FOLDER STRATEGY``, started under ``torchrun``, trains with AdamW and with Muon,
each a run in one go and one in two; test_optimizers_together.py compares them with those of a single process.
"""

import sys
from pathlib import Path
from typing import Any

import torch

from thalweg.training.trainer import Trainer
from thalweg.types import ObjectiveValue, Step
from tiny_runs import tiny

AVERAGES = {"decay": [0.9, 0.5], "warmup": False}


class Distilled:
    """The velocity loss, and how far the answer is from that of the averaged network at another time."""

    weight = 1.0

    def __call__(self, step: Step) -> ObjectiveValue:
        assert step.averaged is not None
        now = step.prediction.velocities[-1].float()
        wanted = step.averaged(step.plan.x_t, step.plan.times * 0.5, step.batch.condition)
        error = (now - step.plan.velocity).square() + (now - wanted.velocities[-1].float()).square()
        assert not wanted.velocities[-1].requires_grad
        return ObjectiveValue(error.flatten(1).mean(dim=1))


def train(folder: Path, strategy: str, optimizer: dict[str, Any], steps: int = 4, **training: Any) -> None:
    """A run whose batches are cut in two, whoever computes them."""
    config = tiny(
        steps=steps,
        optimizer=optimizer,
        average=AVERAGES,
        validate_every=2,
        checkpoint_every=2,
        keep=4,
        **training,
    )
    run = Trainer(config, folder, accelerator="cpu", strategy=strategy, quiet=True)
    run.components.objectives.clear()  # type: ignore[attr-defined]
    run.components.objectives["distilled"] = Distilled()  # type: ignore[index]
    run.train()


MUON = {"type": "muon", "lr": 0.01, "adamw_lr": 0.001}


def main(folder: Path, strategy: str, **training: Any) -> None:
    for name in ("adamw", "muon"):
        optimizer = MUON if name == "muon" else {"lr": 0.001}
        train(folder / f"{name}-whole", strategy, optimizer, **training)
        train(folder / f"{name}-twice", strategy, optimizer, 2, **training)
        train(folder / f"{name}-twice", strategy, optimizer, **training)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), sys.argv[2])
