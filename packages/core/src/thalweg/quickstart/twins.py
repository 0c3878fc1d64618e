"""The two runs that the quick start compares."""

from typing import Any

import attrs

from thalweg.config import RunConfig, structure
from thalweg.integers import SAMPLES, SEED, STEPS, Integers

BASELINE, TWIN = "SiT", "DeepFlow-2T"
CLASSES = 10


@attrs.frozen
class Settings:
    """How much is trained and drawn; the defaults are meant for two cores and under five minutes.

    Attributes:
        steps: optimiser steps of each network.
        samples: drawn from each network, the classes in turn.
        sampler_steps: of the SDE.
        seed: of weights, data order, training noise and samples.
    """

    steps: int = attrs.field(default=400, validator=STEPS)
    samples: int = attrs.field(default=400, validator=Integers(CLASSES, SAMPLES.high))
    sampler_steps: int = attrs.field(default=250, validator=Integers(2, 100_000))
    seed: int = attrs.field(default=0, validator=SEED)


def twins(settings: Settings) -> dict[str, RunConfig]:
    """Both runs by name: one backbone, one data order, one noise; the twin adds branches and VeRA."""
    deepflow = {
        "branches": 2,
        "refiner": {"type": "vera", "channels": [128, 256, 128]},
        "objectives": {"velocity": {}, "acceleration": {}},
    }
    return {BASELINE: _run(BASELINE, settings, {}), TWIN: _run(TWIN, settings, deepflow)}


def _run(name: str, settings: Settings, changes: dict[str, Any]) -> RunConfig:
    recipe = {
        "name": name,
        "seed": settings.seed,
        "data": "digits",
        "backbone": {"type": "dit", "width": 96, "depth": 6, "heads": 4, "patch": 2},
        "plan": {"time_sampler": "logit_normal"},
        "objectives": {"velocity": {}},
        "training": {
            "steps": settings.steps,
            "batch_size": 128,
            "optimizer": {"lr": 2e-3},
            # The decay fits the 400 steps by itself.
            "average": {"decay": 0.99, "warmup": False},
            # So small a network is slower in bfloat16, and done before it is compiled.
            "precision": "32-true",
            "compile": "off",
            "log_every": 10,
            "validate_every": 50,
            "validation_batches": 2,
            "sample_every": 0,
            "checkpoint_every": 200,
            "keep": 1,
        },
        "sampling": {
            "sampler": {"type": "euler_maruyama", "steps": settings.sampler_steps},
            "guidance": {"type": "cfg", "scale": 1.8, "interval": [0.0, 0.7]},
            "count": settings.samples,
            "batch_size": 200,
            "seed": settings.seed,
        },
    }
    return structure(RunConfig, recipe | changes)
