"""Folders as diffusers saves a model or a pipeline: settings and tensors, in one file or in several.

A model's folder holds ``config.json`` and ``diffusion_pytorch_model.safetensors``; of a large model the
tensors are in several files and ``diffusion_pytorch_model.safetensors.index.json`` says which is where; a
variant such as ``fp16`` puts its name into each. A pipeline's folder holds ``model_index.json`` and a folder
of each of its models, of which ``transformer`` is read here, and ``scheduler``.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from thalweg.errors import DataError
from thalweg.files import sha256
from thalweg.regular import parse_json
from thalweg.storage import Location, local_copy
from thalweg.suggestions import one_line
from thalweg.tensor_files import read_tensors
from thalweg_backbones.foreign.checkpoints import ForeignWeights, read_foreign

SETTINGS, SCHEDULER = "config.json", "scheduler"
"""A model's settings, and the argument under which those of a pipeline's scheduler are kept."""

STEM = "diffusion_pytorch_model"
_PIPELINE, _TRANSFORMER, _SCHEDULER_SETTINGS = "model_index.json", "transformer", "scheduler_config.json"
_OLD = f"{STEM}.bin"  # what diffusers wrote before safetensors; read without executing anything
_LARGEST = 2**24  # bytes of settings or of an index; published ones take at most some hundred kB
_VARIANT = re.compile(rf"{STEM}\.(?:((?![\w-]*-\d{{5}}-of-\d{{5}})[\w-]+)\.)?safetensors")
_INDEX = re.compile(rf"{STEM}\.safetensors\.index\.(?:([\w-]+)\.)?json")


def read_diffusers(folder: Path | str) -> ForeignWeights:
    """The tensors of a transformer in a folder of diffusers, with its settings as their arguments.

    Args:
        folder: of a model as ``save_pretrained`` leaves it, or of a pipeline; a path or a URL.

    Raises:
        DataError: a file is missing or damaged, or it is unknown which variant is meant.
    """
    return read_folder(Location(folder))[0]


def read_folder(folder: Location) -> tuple[ForeignWeights, str]:
    """As :func:`read_diffusers`, and the SHA-256 of the files of tensors.

    Of several variants the one without a name is taken, else the only one. Of several files the digest is
    that of their digests, in the order of their names.

    Args:
        folder: of a model, or of a pipeline whose transformer is meant.

    Raises:
        DataError: a file is missing or damaged, or it is unknown which variant is meant.
    """
    arguments: dict[str, Any] = {}
    model = folder
    if (folder / _PIPELINE).exists():
        model = folder / _TRANSFORMER
        if not model.is_dir():
            raise DataError(f"the pipeline in {folder} has no folder '{_TRANSFORMER}'; give one that has")
    for place in (folder / SCHEDULER, model):
        settings = place / _SCHEDULER_SETTINGS
        if settings.exists():
            arguments[SCHEDULER] = _table(settings)
            break
    if not (model / SETTINGS).exists():
        raise DataError(
            f"{model} has no {SETTINGS}; give a folder as diffusers' save_pretrained leaves it, or the one "
            "of the whole pipeline"
        )
    arguments = {**_table(model / SETTINGS), **arguments}
    variant, files = _files(model)
    tensors: dict[str, Tensor] = {}
    digest = hashlib.sha256()
    for name, expected in sorted(files.items()):
        with local_copy(model / name) as path:
            own, found = sha256(path), dict(read_foreign(path)) if name == _OLD else read_tensors(path)
        if len(files) == 1:
            return ForeignWeights(found, variant, (), arguments), own
        digest.update(bytes.fromhex(own))
        missing = [one for one in expected if one not in found]
        if missing:
            raise DataError(
                f"{model / name} has no tensor '{missing[0]}', which its index names; copy it again"
            )
        tensors |= {one: found[one] for one in expected}
    return ForeignWeights(tensors, variant, (), arguments), digest.hexdigest()


def _files(model: Location) -> tuple[str, Mapping[str, tuple[str, ...]]]:
    """Files of one variant, called by it, with the tensors that an index expects in each."""
    names = model.children()
    indices = {found[1] or "": found[0] for found in map(_INDEX.fullmatch, names) if found}
    whole = {found[1] or "": found[0] for found in map(_VARIANT.fullmatch, names) if found}
    variants = {*indices, *whole}
    if not variants and _OLD in names:
        return "", {_OLD: ()}
    if not variants:
        raise DataError(f"{model} has no {STEM}.safetensors and no index of several such files")
    if len(variants) > 1 and "" not in variants:
        raise DataError(
            f"{model} holds the variants {', '.join(sorted(variants))} and none without a name; leave one "
            "there"
        )
    variant = "" if "" in variants else variants.pop()
    if variant in whole:
        return variant, {whole[variant]: ()}
    index = model / indices[variant]
    listed = _table(index).get("weight_map")
    valid = isinstance(listed, dict) and listed and all(isinstance(one, str) for one in listed.values())
    if not valid:
        raise DataError(f"{index} lists no tensors; copy it again")
    assert isinstance(listed, dict)  # noqa: S101 - for the type checker
    shards: dict[str, list[str]] = {}
    for tensor, name in listed.items():
        if "/" in name or name not in names:
            raise DataError(f"{model} has no file '{name}', which {indices[variant]} names; copy it again")
        shards.setdefault(name, []).append(tensor)
    return variant, {name: tuple(one) for name, one in shards.items()}


def _table(file: Location) -> dict[str, Any]:
    try:
        found = parse_json(file.read(limit=_LARGEST))
    except ValueError as error:
        raise DataError(f"{file} is no valid JSON ({one_line(error)}); copy it again") from error
    if not isinstance(found, dict):
        raise DataError(f"{file} holds no table of settings; copy it again")
    return found
