"""Published weights: diffusers' folder, or a file of tensors alone, here or behind a URL."""

from collections.abc import Mapping
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from thalweg.errors import DataError
from thalweg.files import sha256
from thalweg.regular import parse_json
from thalweg.storage import Location, local_copy
from thalweg.suggestions import one_line
from thalweg_backbones.autoencoder.architecture import GROUPS, Architecture, architecture_of
from thalweg_backbones.autoencoder.finding import SCALE, autoencoder_in
from thalweg_backbones.autoencoder.layouts import Layout, layout_of, present_name
from thalweg_backbones.foreign.checkpoints import read_foreign

FILE, SETTINGS = "diffusion_pytorch_model.safetensors", "config.json"
PUBLISHED = (
    "such weights are published as 'stabilityai/sd-vae-ft-mse', 'stabilityai/sd-vae-ft-ema' and "
    "'hustvl/vavae-imagenet256-f16d32-dinov2' (Hugging Face model cards); 'thalweg weights get' fetches "
    "sd-vae-ft-ema or va-vae-f16d32, or set the autoencoder's weights to a checkpoint or to a folder of "
    f"{FILE} and {SETTINGS}"
)

_ALONE = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
_SCALE = 0.18215  # of Stable Diffusion 1, which settings in diffusers' format mean where they state none
_SHOWN = 3
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
        layout: whose names its tensors have.
        architecture: the sizes.
        scaling: the factor to unit variance that it or its settings state, if any.
        shift: what they state is subtracted before, if any.
        tensors: by their names in the file.
    """

    where: str
    sha256: str
    layout: Layout
    architecture: Architecture
    scaling: float | None
    shift: float | None
    tensors: Mapping[str, Tensor]


def read_weights(location: Location) -> Weights:
    """Read and check them.

    Args:
        location: the folder with config.json, or a ``.safetensors``, ``.ckpt``, ``.pt`` or ``.pth`` file,
            whose normalisations are then taken to have 32 groups.

    Raises:
        DataError: if they are missing, damaged or of another layout.
    """
    alone = location.suffix in _ALONE
    file = location if alone else location / FILE
    if not file.exists():
        raise DataError(f"there is no {file}; {PUBLISHED}")
    settings = {} if alone else _settings(location / SETTINGS)
    with local_copy(file) as path:
        digest, found = sha256(path), read_foreign(path, autoencoder_in)
    tensors = {present_name(name): tensor for name, tensor in found.items()}
    scale = tensors.pop(SCALE, None)
    layout, where = layout_of(tensors), str(file)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    _check_convolutions(settings, shapes, where)
    return Weights(
        where=where,
        sha256=digest,
        layout=layout,
        architecture=architecture_of(shapes, layout, settings.get("norm_num_groups", GROUPS), where),
        scaling=settings.get("scaling_factor") if scale is None else _positive(float(scale), where),
        shift=settings.get("shift_factor"),
        tensors=tensors,
    )


def load_weights(autoencoder: nn.Module, weights: Weights) -> None:
    """Give a module the tensors of a file, in float32.

    Args:
        autoencoder: of the file's architecture, without values of its own.
        weights: the file.

    Raises:
        DataError: naming the first tensors that are missing, not known, of another shape or not finite.
    """
    levels, where = len(weights.architecture.widths), weights.where
    module = autoencoder.state_dict()
    ours = {weights.layout.of(name, levels): name for name in module}
    # Layers of the attention are 1x1 convolutions in some files.
    theirs = {
        name: tensor.flatten(1) if _linear(tensor, module.get(ours.get(name, ""))) else tensor
        for name, tensor in weights.tensors.items()
    }
    faults = [f"'{name}' is missing" for name in ours if name not in theirs]
    faults += [f"'{name}' is not known" for name in theirs if name not in ours]
    faults += [
        f"'{name}' has shape {tuple(weights.tensors[name].shape)}, not {tuple(module[own].shape)}"
        for name, own in ours.items()
        if name in theirs and theirs[name].shape != module[own].shape
    ]
    if faults:
        more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise DataError(
            f"{where} does not fit {weights.layout.program}: {'; '.join(faults[:_SHOWN])}{more}; give the "
            "weights of one"
        )
    for name, tensor in theirs.items():
        if not bool(torch.isfinite(tensor).all()):
            raise DataError(f"'{name}' of {where} holds values that are not finite; download it again")
    values = {ours[name]: tensor.to(torch.float32) for name, tensor in theirs.items()}
    autoencoder.load_state_dict(values, assign=True)


def _linear(tensor: Tensor, own: Tensor | None) -> bool:
    return own is not None and own.ndim == 2 and tensor.shape[2:] == (1, 1)


def _positive(scale: float, where: str) -> float:
    if not 0 < scale < float("inf"):
        raise DataError(f"{where} states {SCALE} = {scale}, which is no positive number; set scale")
    return scale


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
    return {**settings, "scaling_factor": _SCALE if scaling is None else scaling}


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
