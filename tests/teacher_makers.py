"""Weights of teachers: random ones in the layouts in which the real ones are published."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor

from thalweg.config import component
from thalweg.facts import Facts
from vision_makers import every_extractor

FACTS = Facts(shape=(3, 8, 8))

# By name, the options that find what every_teacher() and every_extractor() write.
TEACHERS: dict[str, dict[str, Any]] = {
    "dinov2": {"size": "s", "weights": "dinov2.pth"},
    "dinov1": {"size": "s", "weights": "dinov1.pth"},
    "mae": {"weights": "mae.pth"},
    "clip": {"weights": "clip"},
    "timm": {"model": "test_convnext", "weights": "timm.safetensors"},
    "efficientnet-lite0": {},
}


def random_vit(name: str, seed: int = 0) -> dict[str, Tensor]:
    """Tensors for timm's vision transformer of that name.

    Real sizes in little memory: element (i, j) of a matrix is a random number of i + j.
    """
    with torch.device("meta"):
        model = timm.create_model(name, pretrained=False, num_classes=0)
    draws = torch.Generator().manual_seed(seed)
    tensors = {}
    for key, one in model.state_dict().items():
        numbers = torch.randn(sum(one.shape) - one.dim() + 1, generator=draws) * 0.05
        if "norm" in key and key.endswith("weight"):
            numbers += 1
        tensors[key] = numbers.as_strided(tuple(one.shape), (1,) * one.dim())
    return tensors


def published_dinov2(tensors: dict[str, Tensor], registers: bool = False) -> dict[str, Tensor]:
    """The same under DINOv2's names; the class token's position is zero where there are registers."""
    found = {**tensors, "mask_token": torch.zeros(1, tensors["cls_token"].shape[-1])}
    if registers:
        found["register_tokens"] = found.pop("reg_token")
        own = torch.zeros_like(found["cls_token"])
        found["pos_embed"] = torch.cat([own, found["pos_embed"]], dim=1)
    gated = {"fc1": "w12", "fc2": "w3"} if gated_mlp(found) else {}
    for old, new in gated.items():
        found = {key.replace(f".mlp.{old}.", f".mlp.{new}."): one for key, one in found.items()}
    return found


def gated_mlp(tensors: dict[str, Tensor]) -> bool:
    """Whether the first layer makes gates too, as the giant's does."""
    return tensors["blocks.0.mlp.fc1.weight"].shape[0] == 2 * tensors["blocks.0.mlp.fc2.weight"].shape[1]


def every_teacher(folder: Path) -> None:
    """The weights of all teachers that need some; written once a process, then linked."""
    every_extractor(folder)
    for path in _written().iterdir():
        (folder / path.name).symlink_to(path)


def teacher(name: str, **options: Any) -> Any:
    """A small one, whose weights lie in the working folder."""
    return component("teacher", {"type": name, **TEACHERS[name], **options}).build(FACTS)


def pictures(count: int = 2, height: int = 40, width: int = 40, channels: int = 3) -> Tensor:
    """Smooth noise, 0..255."""
    draws = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, channels, 6, 6, generator=draws)
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return (fine * 255).to(torch.uint8)


@functools.cache
def _written() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="thalweg-teachers-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    torch.save(random_vit("vit_small_patch16_224"), folder / "dinov1.pth")
    torch.save({"model": random_vit("vit_base_patch16_224")}, folder / "mae.pth")
    return folder
