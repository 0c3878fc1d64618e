"""Runs on digits that take a second, for tests of training."""

import json
from pathlib import Path
from typing import Any

from thalweg.config import RunConfig, structure

TINY: dict[str, Any] = {
    "name": "tiny",
    "seed": 3,
    "branches": 2,
    "data": {"type": "digits"},
    "backbone": {"type": "dit", "patch": 4, "width": 16, "depth": 2, "heads": 2},
    "refiner": {"type": "vera", "channels": [16]},
    "objectives": {"velocity": {}, "acceleration": {}},
    "sampling": {"sampler": {"type": "euler", "steps": 2}, "count": 4},
}
TRAINING: dict[str, Any] = {
    "steps": 6,
    "batch_size": 16,
    "optimizer": {"lr": 0.001},
    "average": {"decay": 0.9},
    "precision": "32-true",
    "log_every": 1,
    "validate_every": 4,
    "validation_batches": 2,
    "sample_every": 0,
    "checkpoint_every": 2,
}
TIMINGS = ("seconds", "images_per_second")


def tiny(*, top: dict[str, Any] | None = None, **training: Any) -> RunConfig:
    """The tiny run with other values of [training], and of the top level."""
    return structure(RunConfig, {**TINY, **(top or {}), "training": {**TRAINING, **training}})


def recipe(folder: Path, **training: Any) -> Path:
    """The tiny run as a recipe file."""
    from thalweg.config import to_toml

    path = folder / "tiny.toml"
    path.write_text(to_toml({**TINY, "training": {**TRAINING, **training}}))
    return path


def lines(run_dir: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without the clock."""
    text = (run_dir / "metrics.jsonl").read_text()
    return [
        {key: value for key, value in json.loads(line).items() if not key.startswith(TIMINGS)}
        for line in text.splitlines()
    ]


def tensor_files(run_dir: Path) -> dict[str, bytes]:
    """The tensors of the newest checkpoint and of the model, byte for byte."""
    newest = sorted((run_dir / "checkpoints").iterdir())[-1]
    files = [*newest.glob("*.safetensors"), *(run_dir / "model").glob("*.safetensors")]
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in files}


def weights_differ(one: Path, two: Path) -> float:
    """The largest difference between the EMA weights of two runs."""
    from safetensors.torch import load_file

    first, second = (load_file(run / "model" / "model.safetensors") for run in (one, two))
    assert first.keys() == second.keys()
    return max(float((tensor - second[name]).abs().max()) for name, tensor in first.items())
