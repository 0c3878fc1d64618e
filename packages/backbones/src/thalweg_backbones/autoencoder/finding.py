"""Where training checkpoints keep an autoencoder: under a prefix, beside other networks, EMA without dots.

latent-diffusion's code keeps EMA weights as buffers ``model_ema.NAME``, whose names have lost their dots, as
buffers' names can have none. The names beside them say where the dots were.
"""

import re
from collections.abc import Mapping
from typing import Any

import attrs
from torch import Tensor

from thalweg.errors import DataError
from thalweg.storage.redaction import excerpt
from thalweg_backbones.foreign.locating import FoundWeights, unwrapped, weights_in

SCALE = "scale_factor"
"""The factor to unit variance, where a checkpoint of latent diffusion has measured it."""

_FIRST = re.compile(r"((?:.*\.)?)encoder\.conv_in\.weight")
_WITHIN = "first_stage_model."
_AVERAGE = re.compile(r"(?:.*\.)?(?:\w+_)?ema\.(\w+)")
_MODULES = ("encoder", "decoder", "quant_conv", "post_quant_conv")
_TRAINING = ("loss", "logvar", "foundation_model", "linear_proj")
"""What only training needs: losses with their networks, and VA-VAE's alignment."""

_DEEPEST = 4


def autoencoder_in(content: Mapping[Any, Any]) -> FoundWeights:
    """The autoencoder of a checkpoint, by EMA weights if there are any; without tensors if there are none.

    Raises:
        DataError: if there are several, or EMA weights that cannot be read.
    """
    found = weights_in(_autoencoders(content, 0))
    tensors = {unwrapped(name): tensor for name, tensor in found.tensors.items()}
    prefixes = _prefixes(tensors)
    if len(prefixes) > 1:
        raise DataError(
            f"several autoencoders stand in the file, under {excerpt(', '.join(map(repr, prefixes)), 80)}; "
            "export the one that is meant as safetensors"
        )
    prefix = prefixes[0] if prefixes else ""
    return attrs.evolve(
        found, tensors={name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    )


def _prefixes(names: Mapping[str, Any]) -> list[str]:
    """What stands before the names of an autoencoder; of several, the first stage of latent diffusion."""
    found = [match[1] for match in map(_FIRST.fullmatch, names) if match]
    first = [one for one in found if one.endswith(_WITHIN)]
    return first or found


def _autoencoders(content: Mapping[Any, Any], depth: int) -> dict[Any, Any]:
    """The same tables, and of those that hold an autoencoder nothing else."""
    tables = {
        key: _autoencoders(one, depth + 1) if isinstance(one, Mapping) and depth < _DEEPEST else one
        for key, one in content.items()
        if not isinstance(one, Tensor)
    }
    tensors = {unwrapped(str(name)): one for name, one in content.items() if isinstance(one, Tensor)}
    return {**tables, **_autoencoder(tensors)}


def _autoencoder(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    averages = {found[1]: tensors[found[0]] for found in map(_AVERAGE.fullmatch, tensors) if found}
    rest = {name: one for name, one in tensors.items() if not _AVERAGE.fullmatch(name)}
    kept: dict[str, Tensor] = {}
    for prefix in _prefixes(rest):
        own = {name.removeprefix(prefix): one for name, one in rest.items() if name.startswith(prefix)}
        network = {name: one for name, one in own.items() if name.partition(".")[0] not in _TRAINING}
        network |= _dotted(averages, network, prefix)
        kept |= {f"{prefix}{name}": one for name, one in network.items()}
        scale = rest.get(prefix.removesuffix(_WITHIN) + SCALE)
        if scale is not None and scale.numel() == 1:
            kept[SCALE] = scale
    return kept or dict(tensors)


def _dotted(averages: Mapping[str, Tensor], network: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """EMA weights by the names of the network that they are of.

    They are of an autoencoder or of what it is within, so the prefix may be a part of their names. What is
    not trained has none: then a whole encoder, say, is missing.

    Raises:
        DataError: if one is of no tensor or might be of several, or a module has them for some tensors only.
    """
    names = [name for name in network if name.partition(".")[0] in _MODULES]
    within = prefix.replace(".", "")
    known = {name.replace(".", ""): name for name in names}
    found = {name.removeprefix(within): one for name, one in averages.items()}
    found = {name: one for name, one in found.items() if name.startswith(_MODULES)}
    trained = {known[name].partition(".")[0] for name in found if name in known}
    faults = [name for name in found if name not in known]
    faults += [
        f"none of {one}"
        for one in names
        if one.partition(".")[0] in trained and one.replace(".", "") not in found
    ]
    if found and (faults or len(known) != len(names)):
        raise DataError(
            f"EMA weights of the autoencoder stand in a form that is not understood "
            f"({excerpt(', '.join(faults) or 'names that fit several tensors', 80)}); export those that are "
            "meant as safetensors"
        )
    return {known[name]: one for name, one in found.items()}
