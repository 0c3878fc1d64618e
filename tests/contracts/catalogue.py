"""Every component of this distribution, and the few facts that its contract tests must know of it.

A component that is registered anew is tested without a change here, unless it needs options to be built at
all (``REQUIRED``) or to be built small (``SMALL``). ``VARIATIONS`` names further options worth testing.
"""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor

import released
from autoencoder_makers import write_sd_vae
from diffusers_makers import checkpoint as diffusers_checkpoint
from exported_networks import taken_by
from first_stages import first_stage
from golden_files import golden
from image_makers import every_source
from shard_makers import make_shards
from text_makers import ENCODERS, every_encoder
from thalweg.composition import compose
from thalweg.facts import Facts, StoredFeatures
from thalweg.import_options import ImportOptions
from thalweg.plugins import load
from thalweg.saved_network import save
from thalweg_authoring import Subject
from thalweg_authoring import numbers as testing
from vision_makers import VISION_ENCODERS, every_vision_encoder

PLUGINS = ("core", "backbones", "refiners", "samplers", "eval", "authoring")
REGISTRY = load(PLUGINS)
WRITE = bool(os.environ.get("THALWEG_WRITE_GOLDEN"))

FACTS = attrs.evolve(testing.FACTS, features={"efficientnet-lite0": StoredFeatures((4, 4), 6, {})})

IMAGES = {"source": {"type": "folder", "url": "images"}}
REQUIRED: dict[tuple[str, str], set[str]] = {
    ("dataset", "shards"): {"url"},
    ("dataset", "images"): {"source"},
    ("source", "folder"): {"url"},
    ("source", "tar"): {"url"},
    ("source", "idx"): {"url"},
    ("source", "captioned"): {"url"},
    ("objective", "alignment"): {"teacher"},
    ("guidance", "autoguidance"): {"network"},
    ("vision_encoder", "timm"): {"model", "weights"},
    ("vision_encoder", "geneval"): {"detector", "clip"},
}
SMALL: dict[tuple[str, str], dict[str, Any]] = {
    ("dataset", "shards"): {"url": "shards", "validation": 3},
    ("dataset", "images"): {**IMAGES, "size": 8},
    ("source", "folder"): {"url": "images"},
    ("source", "tar"): {"url": "tars"},
    ("source", "idx"): {"url": "idx"},
    ("source", "captioned"): {"url": "captioned"},
    ("source", "emoji"): {"part": "test"},
    ("source", "huggingface"): {"url": "parquet"},
    **{("vision_encoder", name): options for name, options in VISION_ENCODERS.items()},
    **{("text_encoder", name): options for name, options in ENCODERS.items()},
    ("objective", "alignment"): {"teacher": "lite0", "after": [1, 2], "channels": [16]},
    ("objective", "latent_alignment"): {"channels": [16]},
    ("objective", "self_alignment"): {"channels": [16]},
    ("guidance", "autoguidance"): {"network": "weak"},
    ("metric", "kid"): {"subset_size": 10, "subsets": 5},
    ("autoencoder", "sd-vae"): {"weights": "sd-vae", "precision": "32-true"},
    ("autoencoder", "va-vae"): {"weights": "va-vae.pt", "precision": "32-true"},
}
CHECKPOINTS = {"sit": "sit", "repa": "repa_sit", "repa-t2i": "repa_mmdit", "deepflow": "deepflow_2t"}
"""Reference files; what has none is a layout of random weights."""
VARIATIONS: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("objective", "conflict_velocity"): [{"every": 1}],
    ("source", "tar"): [{"stream": True, "classes": 3}],
    ("backbone", "dit"): [
        {"qk_norm": True},
        {"checkpointing": True},
        {"patch": 1},
        {"stored_positions": True},
        {"time_scale": 1000.0, "closed_frequencies": True, "mlp_norm_eps": 1e-5},
    ],
    ("backbone", "lightningdit"): [
        {"qk_norm": False},
        {"conditioning": "context"},
        {"conditioning": "both", "class_tokens": 3},
        {"value_residual": True},
        {"value_residual": True, "conditioning": "both", "checkpointing": True},
        {"head_width": 48},
        {"stored_positions": True},
    ],
    ("backbone", "mmdit"): [
        {"time_scale": 1000.0},
        {"dual_attention": (0, 3)},
        {"pooled_width": 3},
        {"stored_positions": True},
        {"qk_norm": True},
        {"checkpointing": True},
        {"patch": 1},
        {"pooled": True},
        {"mask_padding": False},
    ],
    ("objective", "flow_map"): [
        {"derivative": "difference"},
        {"cfg_scale": 2.0, "adaptive": None},
    ],
    ("sampler", "unipc"): [{"predictor_order": 3, "spacing": "lambda"}],
    ("refiner", "film"): [{"acceleration": False}, {"shared": True}],
    ("objective", "alignment"): [{"projector": "conv"}, {"spatial": 0.6}],
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
    return subject(kind, name, **options).small()


def subject(kind: str, name: str, folder: Path | None = None, **options: Any) -> Subject:
    """A small component as its conformance is checked."""
    small = {**SMALL.get((kind, name), {}), **options}
    checkpoint = partial(checkpoint_of, name) if kind == "importer" else None
    network = partial(taken_by, name) if kind == "exporter" else None
    return Subject(kind, name, small, FACTS, folder=folder, checkpoint=checkpoint, network=network)


def variations() -> list[Any]:
    """Kind, name and further options of every component, and of each of its variations."""
    return [
        pytest.param(one.kind, one.name, more, id="-".join([one.kind, one.name, *map(str, more.values())]))
        for one in REGISTRY
        for more in [{}, *VARIATIONS.get((one.kind, one.name), [])]
    ]


def everything(folder: Path) -> None:
    """Data and weights of all components that need some, and a folder to work in for each kind."""
    make_shards(folder / "shards")
    weak_network(folder / "weak")
    every_source(folder)
    autoencoder_weights(folder)
    every_vision_encoder(folder)
    (folder / "text_encoder").mkdir()
    every_encoder(folder / "text_encoder")


def checkpoint_of(importer: str) -> tuple[Mapping[str, Tensor], ImportOptions]:
    """A small checkpoint that an importer reads."""
    if importer.startswith("diffusers"):
        return diffusers_checkpoint(importer)
    if importer == "dit":
        return released.layout(variances=True, rows=1001), ImportOptions(
            heads=released.HEADS, prediction="noise"
        )
    if importer == "lightningdit":
        weights = released.lightning_layout(rows=1001)
        return weights, ImportOptions(
            heads=released.HEADS, classes=1000, path="linear", prediction="velocity"
        )
    file = golden(CHECKPOINTS[importer])
    return dict(file.weights), file.stated


def weak_network(folder: Path) -> None:
    """A saved network of the facts that guidances are checked with."""
    backbone = {"type": "mmdit", **REGISTRY.config_class("backbone", "mmdit").small}
    facts = Facts(shape=FACTS.shape, classes=FACTS.classes, text=FACTS.text)
    network = compose(backbone=backbone, facts=facts)
    save(folder, network)


def autoencoder_weights(folder: Any) -> None:
    """Weights of every autoencoder that needs some."""
    write_sd_vae(folder / "sd-vae")
    torch.save({"state_dict": first_stage(latent=6, attention=(1,))}, folder / "va-vae.pt")
