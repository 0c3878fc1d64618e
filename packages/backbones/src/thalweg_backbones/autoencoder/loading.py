"""Published weights: diffusers' folder, or its file of tensors alone, here or behind a URL."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import attrs
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from thalweg.errors import DataError
from thalweg.regular import parse_json
from thalweg.storage import Location
from thalweg.suggestions import one_line
from thalweg_backbones.autoencoder.architecture import GROUPS, Architecture, architecture_of

FILE, SETTINGS = "diffusion_pytorch_model.safetensors", "config.json"
PUBLISHED = (
    "such weights are published as 'stabilityai/sd-vae-ft-mse' and 'stabilityai/sd-vae-ft-ema' (Hugging Face "
    "model cards); 'thalweg weights get sd-vae-ft-ema' fetches them, or set the autoencoder's weights to a "
    f"folder of {FILE} and {SETTINGS}"
)

# What the layers of the attention were called before diffusers 0.15.
_OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_OLD = re.compile(rf"(.*\.attentions\.0)\.({'|'.join(_OLD_NAMES)})\.(weight|bias)")
_LINEAR = re.compile(r".*\.attentions\.0\.to_(q|k|v|out\.0)\.weight")
# What our module computes; a file of settings that says otherwise is of another autoencoder.
_EXPECTED = {
    "_class_name": "AutoencoderKL",
    "act_fn": "silu",
    "mid_block_add_attention": True,
    "latents_mean": None,
    "latents_std": None,
}


_LARGEST_SETTINGS = 2**20  # bytes; published ones take some hundred


@attrs.frozen(eq=False)
class Weights:
    """What a file of weights holds.

    Attributes:
        where: the file, without secrets.
        sha256: of the file.
        architecture: the sizes.
        scaling: the factor to unit variance that its settings state, if any.
        shift: what they state is subtracted before, if any.
        tensors: in float32, under the newer names.
    """

    where: str
    sha256: str
    architecture: Architecture
    scaling: float | None
    shift: float | None
    tensors: Mapping[str, Tensor]


def read_weights(location: Location) -> Weights:
    """Read and check them.

    Args:
        location: the folder with config.json, or the ``.safetensors`` file, whose normalisations are then
            taken to have 32 groups.

    Raises:
        DataError: if they are missing, damaged or of another layout.
    """
    alone = location.suffix == ".safetensors"
    file = location if alone else location / FILE
    if not file.exists():
        raise DataError(f"there is no {file}; {PUBLISHED}")
    settings = {} if alone else _settings(location / SETTINGS)
    content = file.read()
    tensors = _tensors(content, str(file))
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    _check_convolutions(settings, shapes, str(file))
    return Weights(
        where=str(file),
        sha256=hashlib.sha256(content).hexdigest(),
        architecture=architecture_of(shapes, settings.get("norm_num_groups", GROUPS), str(file)),
        scaling=settings.get("scaling_factor"),
        shift=settings.get("shift_factor"),
        tensors=tensors,
    )


def _settings(file: Location) -> dict[str, Any]:
    if not file.exists():
        raise DataError(
            f"there is no {file}; copy it beside the weights, or give the .safetensors file alone"
        )
    try:
        settings = parse_json(file.read(limit=_LARGEST_SETTINGS))
    except ValueError as error:
        raise DataError(f"{file} is no valid JSON ({one_line(error)}); download it again") from error
    if not isinstance(settings, dict):
        raise DataError(f"{file} holds no table of settings; download it again")
    for name, expected in _EXPECTED.items():
        if settings.get(name, expected) != expected:
            raise DataError(
                f"{file} states {name} = {settings[name]!r}, where the autoencoder of Stable Diffusion has "
                f"{expected!r}; give the weights of that one"
            )
    groups, scaling = settings.get("norm_num_groups", GROUPS), settings.get("scaling_factor")
    if type(groups) is not int or groups < 1:
        raise DataError(
            f"{file} states norm_num_groups = {groups!r}, which is no positive integer; correct it"
        )
    if scaling is not None and (type(scaling) not in (int, float) or not 0 < scaling < float("inf")):
        raise DataError(
            f"{file} states scaling_factor = {scaling!r}, which is no positive number; correct it"
        )
    shift = settings.get("shift_factor")
    if shift is not None and (type(shift) not in (int, float) or not abs(shift) < float("inf")):
        raise DataError(f"{file} states shift_factor = {shift!r}, which is no number; correct it")
    return settings


def _check_convolutions(settings: Mapping[str, Any], shapes: Mapping[str, Any], where: str) -> None:
    """The tensors have the 1x1 convolutions that the settings state.

    Raises:
        DataError: if they do not.
    """
    for name in ("quant_conv", "post_quant_conv") if settings else ():
        stated, found = settings.get(f"use_{name}", True), f"{name}.weight" in shapes
        if bool(stated) != found:
            raise DataError(
                f"{where} has {'a' if found else 'no'} '{name}.weight', and its {SETTINGS} states "
                f"use_{name} = {stated!r}; they are of different autoencoders"
            )


def _tensors(content: bytes, where: str) -> dict[str, Tensor]:
    try:
        found = safetensors.torch.load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise DataError(
            f"{where} is not a whole safetensors file ({one_line(error)}); download it again"
        ) from error
    tensors: dict[str, Tensor] = {}
    for name, tensor in found.items():
        old = _OLD.fullmatch(name)
        new = f"{old[1]}.{_OLD_NAMES[old[2]]}.{old[3]}" if old else name
        # Some files hold them as 1x1 convolutions.
        if _LINEAR.fullmatch(new) and tensor.shape[2:] == (1, 1):
            tensor = tensor.flatten(1)
        if not bool(torch.isfinite(tensor).all()):
            raise DataError(f"'{name}' of {where} holds values that are not finite; download it again")
        tensors[new] = tensor.to(torch.float32)
    return tensors
