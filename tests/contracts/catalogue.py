"""Every component of this distribution, and the few facts that its contract tests must know of it.

A component that is registered anew is tested without a change here, unless it needs options to be built at
all (``REQUIRED``) or to be built small (``SMALL``). ``VARIATIONS`` names further options worth testing.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

import thalweg
from autoencoder_makers import write_sd_vae
from teacher_makers import TEACHERS
from thalweg import protocols
from thalweg.composition import seeded
from thalweg.config import component
from thalweg.facts import Facts, StoredFeatures
from thalweg.plugins import load
from thalweg.types import Text
from vision_makers import EXTRACTORS

PLUGINS = ("core", "backbones", "refiners", "samplers", "eval")
REGISTRY = load(PLUGINS)
WRITE = bool(os.environ.get("THALWEG_WRITE_GOLDEN"))

PROTOCOLS: dict[str, type] = {
    "backbone": protocols.Backbone,
    "refiner": protocols.Refiner,
    "objective": protocols.Objective,
    "time_sampler": protocols.TimeSampler,
    "sampler": protocols.Sampler,
    "guidance": protocols.Guidance,
    "dataset": protocols.Dataset,
    "source": protocols.Source,
    "metric": protocols.Metric,
    "extractor": protocols.Extractor,
    "importer": protocols.Importer,
    "logger": protocols.Logger,
    "autoencoder": protocols.Autoencoder,
    "teacher": protocols.Teacher,
}
FACTS = Facts(
    shape=(4, 8, 8),
    classes=10,
    text=(5, 12),
    branches=2,
    depth=4,
    width=32,
    heads=4,
    grid=(4, 4),
    accelerates=True,
    features={"efficientnet-lite0": StoredFeatures((4, 4), 6, {})},
)

IMAGES = {"source": {"type": "folder", "url": "images"}}
REQUIRED: dict[tuple[str, str], dict[str, Any]] = {
    ("dataset", "shards"): {"url": "shards"},
    ("dataset", "images"): IMAGES,
    ("source", "folder"): {"url": "images"},
    ("source", "tar"): {"url": "tars"},
    ("source", "idx"): {"url": "idx"},
    ("source", "captioned"): {"url": "captioned"},
    ("objective", "alignment"): {"teacher": "efficientnet-lite0"},
    ("teacher", "clip"): {"weights": "clip"},
    ("teacher", "timm"): {"model": "test_convnext", "weights": "timm.safetensors"},
    ("extractor", "timm"): {"model": "test_convnext", "weights": "timm.safetensors"},
    ("extractor", "clip"): {"folder": "clip"},
    ("extractor", "geneval"): {"detector": "mask2former", "clip": "clip"},
}
SMALL: dict[tuple[str, str], dict[str, Any]] = {
    ("backbone", "dit"): {"width": 32, "heads": 4, "depth": 4, "patch": 2},
    ("backbone", "mmdit"): {"width": 32, "heads": 4, "depth": 4, "patch": 2},
    ("refiner", "vera"): {"channels": [16, 24]},
    ("dataset", "shards"): {"url": "shards", "validation": 3},
    ("dataset", "images"): {**IMAGES, "size": 8},
    ("source", "folder"): {"url": "images"},
    ("source", "tar"): {"url": "tars"},
    ("source", "idx"): {"url": "idx"},
    ("source", "captioned"): {"url": "captioned"},
    ("extractor", "small_classifier"): {"steps": 3},
    **{("extractor", name): options for name, options in EXTRACTORS.items()},
    **{("teacher", name): options for name, options in TEACHERS.items()},
    ("objective", "alignment"): {"teacher": "efficientnet-lite0", "after": [1, 2], "channels": [16]},
    ("metric", "kid"): {"subset_size": 10, "subsets": 5},
    ("autoencoder", "sd-vae"): {"weights": "sd-vae", "precision": "32-true"},
}
VARIATIONS: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("backbone", "dit"): [{"qk_norm": True}, {"checkpointing": True}, {"patch": 1}],
    ("backbone", "mmdit"): [
        {"qk_norm": True},
        {"checkpointing": True},
        {"patch": 1},
        {"pooled": True},
        {"mask_padding": False},
    ],
    ("refiner", "vera"): [
        {"acceleration": False, "cross_attention": False},
        {"acceleration": False},
        {"cross_attention": False},
        {"residual": True},
        {"clamp_scale": 5.0},
    ],
}


def components(*kinds: str) -> list[Any]:
    """Parameters (kind, name) of every component, or of those of some kinds."""
    return [
        pytest.param(one.kind, one.name, id=f"{one.kind}-{one.name}")
        for one in REGISTRY
        if not kinds or one.kind in kinds
    ]


def names(kind: str) -> list[str]:
    """The names of a kind."""
    return REGISTRY.names(kind)


def small(kind: str, name: str, **options: Any) -> dict[str, Any]:
    """The options of a small one."""
    return {"type": name, **SMALL.get((kind, name), {}), **options}


def variations(kind: str) -> list[Any]:
    """The options of a small one of each name, and of each of its variations."""
    return [
        pytest.param(small(kind, name, **more), id="-".join([name, *(f"{k}={v}" for k, v in more.items())]))
        for name in names(kind)
        for more in [{}, *VARIATIONS.get((kind, name), [])]
    ]


def built(kind: str, options: dict[str, Any], facts: Facts = FACTS, folder: Any = None) -> Any:
    """The component; data, sources and autoencoders need no facts, and loggers take a run directory."""
    config = component(kind, options)
    if kind in ("dataset", "source", "autoencoder"):
        return config.build()
    return config.build(folder if kind == "logger" else facts)


def made(kind: str, name: str, folder: Any) -> Any:
    """A small component of this name, made as a run makes it: what draws initial weights, seeded."""
    if kind == "backbone":
        return thalweg.compose(backbone=small(kind, name), facts=FACTS).backbone
    if kind == "objective":
        with seeded(0, torch.device("cpu")):
            return built(kind, small(kind, name), FACTS, folder)
    if kind == "refiner":
        backbone = small("backbone", names("backbone")[0])
        return thalweg.compose(backbone=backbone, refiner=small(kind, name), branches=2, facts=FACTS).refiner
    return built(kind, small(kind, name), FACTS, folder)


def network(backbone: Any = None, refiner: Any = None, branches: int = 1, facts: Facts = FACTS, **more: Any):
    """A small network, every layer of it away from zero."""
    backbone = small("backbone", names("backbone")[0]) if backbone is None else backbone
    made = thalweg.compose(backbone=backbone, refiner=refiner, branches=branches, facts=facts, **more)
    return awake(made)


def awake(module: nn.Module, std: float = 0.1) -> nn.Module:
    """No layer at zero, so that everything has its say."""
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=std, generator=generator)
    return module


def draws(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """N(0, I)."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def autoencoder_weights(folder: Any) -> None:
    """Weights of every autoencoder that needs some."""
    write_sd_vae(folder / "sd-vae")


def captions(count: int, seed: int = 0) -> Text:
    """Captions of 1 to 5 tokens; the empty one is of a single token."""
    tokens = draws(count + 1, 5, 12, seed=seed)
    mask = torch.arange(5) < 1 + torch.arange(count).unsqueeze(1) % 5
    return Text(tokens[:-1], mask, tokens[-1], mask[0])


def leaves(value: Any) -> Iterator[Any]:
    """What stands in lists and tables."""
    if isinstance(value, dict):
        for one in value.values():
            yield from leaves(one)
    elif isinstance(value, list):
        for one in value:
            yield from leaves(one)
    else:
        yield value
