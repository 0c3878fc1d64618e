"""Small networks that exporters take."""

from typing import Any

import torch

import thalweg
from thalweg.facts import Facts
from thalweg.network import FlowNetwork

DIT: dict[str, Any] = {"type": "dit", "width": 32, "depth": 4, "heads": 4, "patch": 2}
BRANCHED: dict[str, Any] = {"refiner": {"type": "vera", "channels": [16, 24]}, "branches": 2}
CLOSED: dict[str, Any] = {"time_scale": 1000.0, "closed_frequencies": True}
FACTS = Facts(shape=(4, 8, 8), classes=10)


def made(
    backbone: dict[str, Any] | None = None, facts: Facts = FACTS, seed: int = 0, **more: Any
) -> FlowNetwork:
    """A DiT with no weight at zero."""
    network = thalweg.compose(backbone={**DIT, **(backbone or {})}, facts=facts, **more)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            scale = weight.shape[-1] ** -0.5 if weight.dim() > 1 else 0.2
            weight.copy_(torch.randn(weight.shape, generator=draw) * scale)
    return network.eval()


def captioned(qk_norm: bool = True, **more: Any) -> FlowNetwork:
    """An MMDiT as REPA's text-to-image models are."""
    backbone = {"type": "mmdit", "qk_norm": qk_norm, "mask_padding": False, **more}
    return made(backbone, facts=Facts(shape=(4, 8, 8), text=(77, 12)))


def taken_by(name: str) -> FlowNetwork:
    """One that an exporter takes."""
    if name == "repa-t2i":
        return captioned()
    if name == "deepflow":
        return made(**BRANCHED)
    return made(CLOSED if name == "diffusers-dit" else None)
