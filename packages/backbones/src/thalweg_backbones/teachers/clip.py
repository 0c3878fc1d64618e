"""CLIP's vision tower (A. Radford et al., Learning transferable visual models from natural language
supervision, 2021)."""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import attrs
import torch
from attrs.validators import matches_re
from torch import Tensor, nn

from thalweg.bounding import at_most
from thalweg.config import secret_field, url_field
from thalweg.errors import DataError
from thalweg.facts import WIDEST_TOKEN, Facts, StoredFeatures
from thalweg.regular import parse_json
from thalweg.sampling import SamplingPrecision
from thalweg.storage import Location
from thalweg.suggestions import one_line
from thalweg.vision.pixels import CLIP_MEAN, CLIP_STD
from thalweg.vision.timm_models import load_exactly, timm_module
from thalweg.weights import read_weights
from thalweg_backbones.teachers.frozen import RESIZE, FrozenTeacher
from thalweg_backbones.teachers.stored import check_stored
from thalweg_backbones.teachers.vit import DISTRIBUTION, patch_tokens

SETTINGS, FILE = "config.json", "model.safetensors"
SOURCE = "https://huggingface.co/openai/clip-vit-large-patch14"
_ROOT = "vision_model."
# What config.json leaves out is that of ViT-B/32.
_SIZES = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "image_size": 224,
    "patch_size": 32,
}
_EMBEDDINGS = {
    "embeddings.class_embedding": "cls_token",
    "embeddings.patch_embedding.weight": "patch_embed.proj.weight",
    "embeddings.position_embedding.weight": "pos_embed",
    "pre_layrnorm.weight": "norm_pre.weight",
    "pre_layrnorm.bias": "norm_pre.bias",
}
_LAYER = re.compile(r"encoder\.layers\.(\d+)\.([\w.]+)\.(weight|bias)")
_LAYERS = {
    "layer_norm1": "norm1",
    "layer_norm2": "norm2",
    "self_attn.out_proj": "attn.proj",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}


@attrs.frozen
class ClipTeacherConfig:
    """CLIP's vision tower: patch tokens of the last block, not normalised and not projected.

    Attributes:
        weights: the folder as Hugging Face publishes it, with config.json and model.safetensors; a path or a
            URL.
        model: what it is called, and under which name its features are stored.
        storage_options: what its storage needs, such as keys; never written anywhere.
        sha256: how the SHA-256 of model.safetensors must begin, if it is to be checked.
        precision: bf16-mixed evaluates under bfloat16 autocast, 32-true in float32; auto is the former where
            the device computes in bfloat16 itself.
    """

    weights: str = url_field()
    model: str = attrs.field(default="clip-vit-large-patch14", validator=matches_re(r"[\w.\-]+"))
    storage_options: dict[str, Any] = secret_field()
    sha256: str = ""
    precision: SamplingPrecision = "auto"

    @property
    def name(self) -> str:
        """``model``."""
        return self.model

    def check_stored(self, stored: StoredFeatures) -> None:
        """Compare stored features with what this teacher would see.

        Raises:
            DataError: if another one has seen them.
        """
        check_stored(self.name, stored, self._described, self.sha256, self._folder / FILE)

    def build(self, facts: Facts) -> FrozenTeacher:  # noqa: ARG002 - images of any size
        """Load it.

        Raises:
            PluginError: if timm is not installed.
            DataError: if the folder is missing, damaged or holds no CLIP.
        """
        place, what = self._folder / FILE, f"CLIP's vision tower {self.model}"
        settings = _settings(self._folder / SETTINGS, what)
        weights = read_weights(place, what, SOURCE, self.sha256)
        elements = sum(tensor.numel() for tensor in weights.tensors.values())
        with at_most(len(weights.tensors), elements):
            model = _tower(settings)
        load_exactly(model, _renamed(weights.tensors), what, place)
        model.eval().requires_grad_(False)
        patch = settings["patch_size"]
        return FrozenTeacher(
            self.name,
            {**self._described, "sha256": weights.sha256},
            model,
            patch_tokens(model, patch),
            width=settings["hidden_size"],
            patch=patch,
            normalisation=(CLIP_MEAN, CLIP_STD),
            precision=self.precision,
        )

    @property
    def _described(self) -> Mapping[str, Any]:
        return {"type": "clip", "resize": RESIZE}

    @property
    def _folder(self) -> Location:
        return Location(self.weights, self.storage_options)


_LARGEST_SETTINGS = 2**20  # bytes; published ones take some kB


def _settings(file: Location, what: str) -> dict[str, Any]:
    if not file.exists():
        raise DataError(f"there is no {file}, so there is no {what}; get {SETTINGS} and {FILE} from {SOURCE}")
    try:
        whole = parse_json(file.read(limit=_LARGEST_SETTINGS))
        found = dict(whole.get("vision_config", whole))
    except (ValueError, AttributeError, TypeError) as error:
        raise DataError(f"{file} describes no {what} ({one_line(error)}); get it from {SOURCE}") from error
    settings = {name: found.get(name, default) for name, default in _SIZES.items()}
    sound = all(type(size) is int and 0 < size <= WIDEST_TOKEN for size in settings.values())
    act, eps = found.get("hidden_act", "quick_gelu"), found.get("layer_norm_eps", 1e-5)
    if not sound or act not in ("gelu", "quick_gelu") or type(eps) is not float:
        raise DataError(f"{file} describes no {what}: its sizes or activation are none; get it from {SOURCE}")
    return {**settings, "hidden_act": act, "layer_norm_eps": eps}


def _tower(settings: Mapping[str, Any]) -> nn.Module:
    vit = timm_module("timm.models.vision_transformer", DISTRIBUTION).VisionTransformer
    # On the meta device nothing is drawn that the weights would replace.
    with torch.device("meta"):
        model: nn.Module = vit(
            img_size=settings["image_size"],
            patch_size=settings["patch_size"],
            embed_dim=settings["hidden_size"],
            depth=settings["num_hidden_layers"],
            num_heads=settings["num_attention_heads"],
            mlp_ratio=settings["intermediate_size"] / settings["hidden_size"],
            norm_layer=partial(nn.LayerNorm, eps=settings["layer_norm_eps"]),
            act_layer=settings["hidden_act"],
            pre_norm=True,
            final_norm=False,
            num_classes=0,
            dynamic_img_size=True,
        )
    return model


def _renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tower's tensors under timm's names; what stands behind its last block is left out."""
    tower = {key.removeprefix(_ROOT): one.float() for key, one in tensors.items() if key.startswith(_ROOT)}
    found = {new: tower[old] for old, new in _EMBEDDINGS.items() if old in tower}
    for name, dimensions in (("cls_token", 2), ("pos_embed", 1)):
        if name in found:
            found[name] = found[name][(None,) * dimensions]
    for key, tensor in tower.items():
        layer = _LAYER.fullmatch(key)
        if layer and layer[2] in _LAYERS:
            found[f"blocks.{layer[1]}.{_LAYERS[layer[2]]}.{layer[3]}"] = tensor
        elif layer and layer[2] == "self_attn.q_proj":
            names = [key.replace("q_proj", f"{one}_proj") for one in "qkv"]
            if all(name in tower for name in names):
                parts = torch.cat([tower[name] for name in names])
                found[f"blocks.{layer[1]}.attn.qkv.{layer[3]}"] = parts
    return found
