"""Pooled features of DINOv2, CLIP and timm's networks, from random weights in the published layouts."""

import math
import sys
from unittest import mock

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from inception_maker import pictures
from thalweg.errors import ConfigError, DataError, PluginError
from thalweg.facts import Facts
from thalweg_backbones.vision.clip import ClipConfig
from thalweg_backbones.vision.dinov2 import DinoV2Config, positions
from thalweg_backbones.vision.resizing import pil_bicubic
from thalweg_backbones.vision.timm_model import TimmConfig
from vision_makers import random_clip, random_dinov2, random_timm

FACTS = Facts(shape=(3, 32, 32))
IMAGES = pictures(3, 0, side=40)


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory):
    path = tmp_path_factory.mktemp("dinov2") / "dinov2_vits14_pretrain.pth"
    return path, random_dinov2(path)


def test_dinov2_gives_the_class_token_of_images_resized_by_pillow(dinov2):
    path, tensors = dinov2
    extractor = DinoV2Config(size="s", weights=str(path)).build(FACTS)
    seen = extractor(IMAGES).pooled
    assert seen.shape == (3, 384)
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    x = (pil_bicubic(IMAGES, 224) / 255 - mean) / std
    # The network once more, by its definition.
    patches = functional.conv2d(x, tensors["patch_embed.proj.weight"], tensors["patch_embed.proj.bias"], 14)
    tokens = torch.cat([tensors["cls_token"].expand(3, -1, -1), patches.flatten(2).mT], 1)
    tokens = tokens + positions(tensors["pos_embed"], 16)
    for block in range(12):
        tokens = _block(tokens, {k.removeprefix(f"blocks.{block}."): v for k, v in tensors.items()})
    expected = _norm(tokens[:, 0], tensors, "norm")
    torch.testing.assert_close(seen, expected, rtol=1e-4, atol=1e-4)


def _norm(x, tensors, name):
    return functional.layer_norm(x, x.shape[-1:], tensors[f"{name}.weight"], tensors[f"{name}.bias"], 1e-6)


def _linear(x, tensors, name):
    return functional.linear(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"])


def _block(tokens, one):
    qkv = _linear(_norm(tokens, one, "norm1"), one, "attn.qkv")
    q, k, v = qkv.reshape(*qkv.shape[:2], 3, 6, 64).permute(2, 0, 3, 1, 4)
    attended = ((q @ k.mT / math.sqrt(64)).softmax(-1) @ v).transpose(1, 2).flatten(2)
    tokens = tokens + one["ls1.gamma"] * _linear(attended, one, "attn.proj")
    hidden = functional.gelu(_linear(_norm(tokens, one, "norm2"), one, "mlp.fc1"))
    return tokens + one["ls2.gamma"] * _linear(hidden, one, "mlp.fc2")


def test_positions_are_interpolated_as_the_published_network_does():
    ramp = torch.arange(37.0).repeat(37, 1)
    grid = torch.stack([ramp, ramp.T]).permute(1, 2, 0).reshape(1, -1, 2)
    found = positions(torch.cat([torch.full((1, 1, 2), -7.0), grid], 1), 16)
    assert found.shape == (1, 257, 2)
    assert torch.equal(found[0, 0], torch.tensor([-7.0, -7.0]))
    # Of a ramp, a bicubic interpolation is about the ramp: pixel j lies at (j + 1/2) / scale - 1/2. By the
    # plain scale of 16 / 37 the last would lie 0.2 further.
    expected = (torch.arange(16) + 0.5) * 37 / 16.1 - 0.5
    torch.testing.assert_close(found[0, 1:].reshape(16, 16, 2)[3, 1:-1, 0], expected[1:-1], rtol=0, atol=0.06)
    assert torch.equal(positions(grid[:, :257], 16), grid[:, :257])


def test_dinov2_names_and_faults(dinov2, tmp_path, monkeypatch):
    path, tensors = dinov2
    small = DinoV2Config(size="s", weights=str(path)).build(FACTS)
    assert small.number_name("frechet_distance") == "fd_dinov2_vits14"
    assert DinoV2Config(size="l").published.label == "dinov2"
    with pytest.raises(DataError, match=r"does not hold the weights of DINOv2 ViT-b/14"):
        DinoV2Config(size="b", weights=str(path)).build(FACTS)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(
        DataError, match=r"weights get dinov2-l' fetches them from https://dl.fbaipublicfiles.com/"
    ):
        DinoV2Config(size="l").build(FACTS)
    torch.save({"weight": tensors["cls_token"]}, tmp_path / "none.pth")
    with pytest.raises(DataError, match="does not hold the weights of DINOv2 ViT-b/14"):
        DinoV2Config(weights=str(tmp_path / "none.pth")).build(FACTS)


@pytest.mark.parametrize("classes", [0, 7])
def test_any_network_of_timms(tmp_path, classes):
    path = tmp_path / "model.safetensors"
    theirs = random_timm("test_convnext", path, num_classes=classes)
    extractor = TimmConfig(model="test_convnext", weights=str(path), side=64).build(FACTS)
    seen = extractor(IMAGES)
    mean, std = (torch.tensor(theirs.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    x = (pil_bicubic(IMAGES, 64) / 255 - mean) / std
    with torch.no_grad():
        features = theirs.forward_features(x)
        torch.testing.assert_close(seen.pooled, theirs.forward_head(features, pre_logits=True))
        if classes:
            torch.testing.assert_close(seen.logits, theirs(x))
        else:
            assert seen.logits is None
    assert extractor.number_name("kid") == "kid_test_convnext_64px"


def test_timms_faults(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(ConfigError, match="timm knows no network 'convnext_tyni'"):
        TimmConfig(model="convnext_tyni", weights=str(path)).build(FACTS)
    with pytest.raises(DataError, match="does not hold the weights of timm's test_convnext"):
        TimmConfig(model="test_convnext", weights=str(path)).build(FACTS)
    with (
        mock.patch.dict(sys.modules, {"timm": None}),
        pytest.raises(PluginError, match=r"pip install 'thalweg-backbones\[timm\]'"),
    ):
        TimmConfig(model="test_convnext", weights=str(path)).build(FACTS)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip") / "tiny"
    return folder, random_clip(folder)


def test_clip_sees_images_and_reads_captions(clip):
    folder, theirs = clip
    extractor = ClipConfig(folder=str(folder), model_id="tiny/clip").build(FACTS)
    captions = ["a red car", "two photo", "dog"]
    seen = extractor(IMAGES, captions)
    assert seen.pooled.shape == seen.captions.shape == (3, 24)
    mean, std = (
        torch.tensor(values)[:, None, None]
        for values in ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
    )
    with torch.no_grad():
        x = (pil_bicubic(IMAGES, 32) / 255 - mean) / std
        pooled = theirs.visual_projection(theirs.vision_model(pixel_values=x).pooler_output)
    torch.testing.assert_close(seen.pooled, pooled, rtol=1e-4, atol=1e-5)
    # Padding beside longer captions changes nothing, and too long ones are cut.
    torch.testing.assert_close(
        extractor(IMAGES[2:], captions[2:]).captions, seen.captions[2:], rtol=1e-4, atol=1e-5
    )
    assert extractor(IMAGES[:1], ["a photo of two dog " * 9]).captions.isfinite().all()
    assert extractor(IMAGES).captions is None
    assert extractor.identity["model"] == "tiny/clip"
    assert extractor.number_name("clip_score") == "clip_score"


def test_clips_faults(clip, tmp_path):
    folder, _ = clip
    with pytest.raises(DataError, match=r"config\.json is missing; download"):
        ClipConfig(folder=str(tmp_path)).build(FACTS)
    for file in ("config.json", "model.safetensors"):
        (tmp_path / file).write_text("{}")
    with pytest.raises(DataError, match="cannot be read as CLIP"):
        ClipConfig(folder=str(tmp_path)).build(FACTS)
    with pytest.raises(DataError, match="3 images but 1 captions"):
        ClipConfig(folder=str(folder)).build(FACTS)(IMAGES, ["dog"])
    with (
        mock.patch.dict(sys.modules, {"transformers": None}),
        pytest.raises(PluginError, match=r"pip install 'thalweg-backbones\[transformers\]'"),
    ):
        ClipConfig(folder=str(folder)).build(FACTS)
