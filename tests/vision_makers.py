"""Small random networks in the layouts in which the real ones are published."""

import atexit
import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import (
    CLIPConfig,
    CLIPModel,
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    SwinConfig,
)

from inception_maker import random_inception
from thalweg.config import component
from thalweg.facts import Facts


def random_timm(name: str, path: Path, **options) -> nn.Module:
    """A network of timm's with random weights, saved as it publishes them."""
    model = seeded(lambda: timm.create_model(name, pretrained=False, **options)).eval()
    save_file({key: tensor.contiguous() for key, tensor in model.state_dict().items()}, path)
    return model


def random_dinov2(path: Path) -> dict[str, Tensor]:
    """ViT-S/14 under the published names, positions on a grid of 37x37."""
    model = seeded(lambda: timm.create_model("vit_small_patch14_dinov2", pretrained=False, num_classes=0))
    tensors = dict(model.state_dict(), mask_token=torch.zeros(1, 384))
    tensors["pos_embed"] = torch.randn(1, 1 + 37**2, 384, generator=torch.Generator().manual_seed(0))
    torch.save(tensors, path)
    return tensors


WORDS = ["a", "photo", "of", "red", "blue", "car", "dog", "cat", "two", "object", "-", "colored"]


def random_clip(folder: Path) -> CLIPModel:
    """A tiny CLIP in a folder as Hugging Face has it, tokenizer included."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = sorted({letter for word in WORDS for letter in word})
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: place for place, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer"}))
    layers = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={
            **layers,
            "vocab_size": len(tokens),
            "max_position_embeddings": 32,
            "bos_token_id": len(tokens) - 2,
            "eos_token_id": len(tokens) - 1,
            "pad_token_id": len(tokens) - 1,
        },
        vision_config={**layers, "image_size": 32, "patch_size": 8},
        projection_dim=24,
    )
    model = seeded(lambda: CLIPModel(config)).eval()
    model.save_pretrained(folder)
    return model


def seeded(make):
    """What is made, with seed 0 and without a trace."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


def random_detector(folder: Path) -> None:
    """A tiny Mask2Former of COCO's 80 things, in a folder as Hugging Face has it."""
    swin = SwinConfig(
        embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = Mask2FormerConfig(
        backbone_config=swin, num_labels=80, feature_size=32, mask_feature_size=32, hidden_dim=32,
        encoder_feedforward_dim=16, dim_feedforward=16, encoder_layers=1, decoder_layers=2, num_queries=5,
        num_attention_heads=2,
    )  # fmt: skip
    seeded(lambda: Mask2FormerForUniversalSegmentation(config)).save_pretrained(folder)


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


FACTS = Facts(shape=(3, 8, 8), classes=4)

# By name, the options that find what every_vision_encoder() writes.
VISION_ENCODERS: dict[str, dict[str, Any]] = {
    "dinov2": {"size": "s", "weights": "dinov2.pth"},
    "dinov1": {"size": "s", "weights": "dinov1.pth"},
    "mae": {"weights": "mae.pth"},
    "clip": {"folder": "clip"},
    "timm": {"model": "test_convnext", "weights": "timm.safetensors", "side": 32},
    "lite0": {},
    "inception": {"weights": "inception.pth", "sha256": ""},
    "small_classifier": {"steps": 3},
    "geneval": {"detector": "mask2former", "clip": "clip"},
}
TEACHERS = ("dinov2", "dinov1", "mae", "clip", "timm", "lite0")


def vision_encoder(name: str, **options: Any) -> Any:
    """A small one, whose weights are in the working folder."""
    return component("vision_encoder", {"type": name, **VISION_ENCODERS[name], **options}).build(FACTS)


def pictures(count: int = 2, height: int = 40, width: int = 40, channels: int = 3) -> Tensor:
    """Smooth noise, 0..255."""
    draws = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, channels, 6, 6, generator=draws)
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return (fine * 255).to(torch.uint8)


def every_vision_encoder(folder: Path) -> None:
    """The random weights of all vision encoders that need some; written once a process, then linked."""
    for path in _written().iterdir():
        (folder / path.name).symlink_to(path)


@functools.cache
def _written() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="thalweg-vision-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    random_inception(folder / "inception.pth")
    random_dinov2(folder / "dinov2.pth")
    torch.save(random_vit("vit_small_patch16_224"), folder / "dinov1.pth")
    torch.save({"model": random_vit("vit_base_patch16_224")}, folder / "mae.pth")
    random_timm("test_convnext", folder / "timm.safetensors", num_classes=7)
    random_clip(folder / "clip")
    random_detector(folder / "mask2former")
    return folder
