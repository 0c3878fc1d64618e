"""Vision transformers whose weights are published in the layout of DINO, as timm's networks."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from thalweg.errors import DataError
from thalweg.storage import Location
from thalweg.vision.timm_models import load_exactly, timm_module, vision_model
from thalweg_backbones.teachers.frozen import Look, as_map

DISTRIBUTION = "thalweg-backbones"
_BLOCK = re.compile(r"blocks\.\d+\.")


def hub_folder() -> Location:
    """Where torch.hub puts what it downloads."""
    return Location(torch.hub.get_dir()) / "checkpoints"


def published_vit(name: str, tensors: dict[str, Tensor], what: str, place: Location) -> nn.Module:
    """timm's network of that name with the tensors of a published file.

    Args:
        name: as timm calls it.
        tensors: of the file.
        what: what they should be, for messages.
        place: where they lie, for messages.

    Raises:
        PluginError: if timm is not installed.
        DataError: if they are another network's.
    """
    # On the meta device nothing is drawn that the weights would replace.
    with torch.device("meta"):
        model: Any = vision_model(name, DISTRIBUTION, num_classes=0, dynamic_img_size=True)
    rename = timm_module("timm.models.vision_transformer", DISTRIBUTION).checkpoint_filter_fn
    patch, ours = tensors.get("patch_embed.proj.weight"), model.patch_embed.proj.weight
    # Before timm brings patches and positions of another size to this one's.
    if patch is None or patch.shape != ours.shape or _depth(tensors) != len(model.blocks):
        raise DataError(f"{place} does not hold the weights of {what}; give the file of that network")
    ours = {key: tensor.float() for key, tensor in rename(dict(tensors), model).items()}
    load_exactly(model, ours, what, place)
    return model  # type: ignore[no-any-return]  # timm's are not typed


def patch_tokens(model: nn.Module, patch: int) -> Look:
    """How to look through one of timm's vision transformers: its tokens but for class and registers."""
    vit: Any = model

    def look(x_N3HW: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N h w F"]:
        height, width = x_N3HW.shape[2:]
        return as_map(vit.forward_features(x_N3HW)[:, vit.num_prefix_tokens :], (height, width), patch)

    return look


def _depth(tensors: Mapping[str, Tensor]) -> int:
    return len({found[0] for name in tensors if (found := _BLOCK.match(name))})
