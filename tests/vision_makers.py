"""Small random networks in the layouts in which the real ones are published."""

import atexit
import functools
import json
import shutil
import tempfile
from pathlib import Path

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


# By name, the options that find what every_extractor() writes.
EXTRACTORS = {
    "inception": {"weights": "inception.pth", "sha256": ""},
    "dinov2": {"size": "s", "weights": "dinov2.pth"},
    "timm": {"model": "test_convnext", "weights": "timm.safetensors", "side": 32},
    "clip": {"folder": "clip"},
    "geneval": {"detector": "mask2former", "clip": "clip"},
}


def every_extractor(folder: Path) -> None:
    """The random weights of all extractors that need some; written once a process, then linked."""
    for path in _written().iterdir():
        (folder / path.name).symlink_to(path)


@functools.cache
def _written() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="thalweg-extractors-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    random_inception(folder / "inception.pth")
    random_dinov2(folder / "dinov2.pth")
    random_timm("test_convnext", folder / "timm.safetensors", num_classes=7)
    random_clip(folder / "clip")
    random_detector(folder / "mask2former")
    return folder
