"""Small things to evaluate: a run of an untrained network, images, and settings that take no time."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import thalweg
from thalweg.composition import composition_of
from thalweg.config import RunConfig, dump, recorded_text, structure
from thalweg.saved_network import save
from tiny_runs import TINY, TRAINING

FAST = ("sampling.sampler=euler", "sampling.sampler.steps=2", "features.small_classifier.extractor.steps=2")
"""The protocol ``quick`` in a moment."""


def run_folder(folder: Path, seed: int = 0, **more: Any) -> Path:
    """A run's folder with a network of random weights, no layer at zero; ``more`` goes into its recipe."""
    config = structure(RunConfig, {**TINY, "training": TRAINING, **more})
    network = thalweg.compose(**composition_of(config), facts=config.data.facts)
    draws = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1, generator=draws)
    folder.mkdir()
    (folder / "config.toml").write_text(recorded_text(dump(config)))
    save(folder / "model", network, step=6)
    return folder


def pictures(count: int, shape: tuple[int, int, int] = (8, 8, 1), seed: int = 0) -> Any:
    """Images of noise, N x height x width x channels."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def npz(path: Path, count: int, shape: tuple[int, int, int] = (8, 8, 1), seed: int = 0) -> Path:
    """Labelled images as numpy writes them."""
    np.savez(path, arr_0=pictures(count, shape, seed), arr_1=np.arange(count) % 10)
    return path
