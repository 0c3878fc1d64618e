"""Whole training runs for the benchmarks: DeepFlow-S/2-2T, or smaller cousins, on made-up latents."""

import os

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # as the command line does, before torch is imported

from functools import lru_cache
from pathlib import Path
from typing import Any

import attrs
import torch

from thalweg.config import RunConfig, structure
from thalweg.data.split import TensorSplit
from thalweg.facts import Facts
from thalweg.training.trainer import Trainer

LATENTS = Facts(shape=(4, 32, 32), classes=1000)
BACKBONES = {
    "S": {"type": "dit", "size": "S", "patch": 2},
    "small": {"type": "dit", "width": 96, "depth": 4, "heads": 4, "patch": 4},
    "tiny": {"type": "dit", "width": 16, "depth": 2, "heads": 2, "patch": 8},
}


@attrs.frozen(eq=False)
class Latents:
    """Noise in place of latents: what is computed does not depend on what they show."""

    identity = "noise"

    facts: Facts
    train: TensorSplit
    validation: TensorSplit

    def images(self, x: torch.Tensor) -> None:
        """None."""


@lru_cache
def latents(count: int = 512) -> Latents:
    draws = torch.Generator().manual_seed(0)
    split = TensorSplit(
        torch.randn(count, *LATENTS.shape, generator=draws),
        torch.randint(1000, (count,), generator=draws),
    )
    return Latents(LATENTS, split, split)


def trainer(
    run_dir: Path,
    size: str,
    devices: int = 1,
    accelerator: str = "cpu",
    strategy: str = "auto",
    **training: Any,
) -> Trainer:
    config: RunConfig = structure(
        RunConfig,
        {
            "branches": 2,
            "data": "digits",  # never read
            "backbone": BACKBONES[size],
            "refiner": "vera" if size == "S" else {"type": "vera", "channels": [BACKBONES[size]["width"]]},
            "objectives": {"velocity": {}, "acceleration": {}},
            "training": {
                "steps": 4,
                "batch_size": 16,
                "compile": "off",
                "log_every": 1,
                "validate_every": 0,
                "sample_every": 0,
                "checkpoint_every": 0,
                **training,
            },
        },
    )
    return Trainer(
        config,
        run_dir,
        dataset=latents(),
        accelerator=accelerator,
        devices=devices,
        strategy=strategy,
        quiet=True,
    )
