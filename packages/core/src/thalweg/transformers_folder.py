"""Networks of transformers from a folder on this machine, as Hugging Face publishes it."""

import importlib
import math
from pathlib import Path
from typing import Any

import attrs
from torch import nn

from thalweg.bounding import at_most
from thalweg.errors import DataError, PluginError
from thalweg.files import sha256
from thalweg.regular import check_regular, read_json
from thalweg.suggestions import one_line
from thalweg.tensor_files import open_tensors, shapes_of

_SETTINGS, _WEIGHTS = "config.json", "model.safetensors"
_LARGEST_SETTINGS = 2**20  # bytes; published ones take some kB
_LARGEST_NUMBER = 2**20  # of a vocabulary, a width, a number of layers
_OF_OTHERS = ("auto_map", "quantization_config")
_IMPLEMENTATION = "_implementation"
"""Keys by which transformers fetches or imports code of others."""


@attrs.frozen(eq=False)
class Loaded:
    """What a folder held.

    Attributes:
        model: the network in float32, for inference.
        tokenizer: its tokenizer, if one was requested.
        sha256: of the weights.
    """

    model: nn.Module
    tokenizer: Any
    sha256: str


def load_folder(
    folder: Path,
    model: str,
    what: str,
    source: str,
    extra: str,
    tokenizer: str | None = None,
    expected: str = "",
) -> Loaded:
    """Load a network and perhaps its tokenizer; safetensors alone, and nothing from elsewhere.

    Args:
        folder: the folder.
        model: class of the network in transformers.
        what: what it is, for messages.
        source: where to get it.
        extra: what to install where transformers is missing, such as ``thalweg-eval[transformers]``.
        tokenizer: class of the tokenizer in transformers.
        expected: how the SHA-256 of the weights must begin; empty takes any.

    Raises:
        PluginError: if transformers is not installed.
        DataError: if the folder is missing, damaged or holds another network.
    """
    try:
        transformers: Any = importlib.import_module("transformers")
    except ImportError as error:
        raise PluginError(
            f"{what} is loaded by transformers, which is not installed; pip install '{extra}'"
        ) from error
    for file in (_SETTINGS, _WEIGHTS):
        if not (folder / file).is_file():
            files = f"{_SETTINGS} and {_WEIGHTS}{' and the files of the tokenizer' if tokenizer else ''}"
            raise DataError(
                f"{folder} holds no {what}, as {file} is missing; download {files} from {source} into it"
            )
    found = sha256(folder / _WEIGHTS)
    if not found.startswith(expected):
        raise DataError(
            f"{folder / _WEIGHTS} is not {what}: its SHA-256 is {found}, which does not begin with "
            f"{expected}; get the right one from {source}, or set 'sha256' to take this one as it is"
        )
    header = _header(folder, what, source)
    bars = transformers.utils.logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        options = {"local_files_only": True, "trust_remote_code": False}
        with at_most(len(header), sum(map(math.prod, header.values()))):
            network, about = getattr(transformers, model).from_pretrained(
                folder, use_safetensors=True, output_loading_info=True, **options
            )
        # transformers would make them up.
        lacking = sorted(set(about["missing_keys"]) & dict(network.named_parameters()).keys())
        if lacking:
            raise DataError(f"{_WEIGHTS} lacks {lacking[0]} of {model}")
        reader = getattr(transformers, tokenizer).from_pretrained(folder, **options) if tokenizer else None
    except Exception as error:  # transformers raises a dozen kinds on a damaged folder
        raise DataError(
            f"{folder} cannot be read as {what}: {one_line(error)}; get it from {source}"
        ) from error
    finally:
        if shown:
            bars.enable_progress_bar()
    return Loaded(network.float().eval().requires_grad_(False), reader, found)


def _header(folder: Path, what: str, source: str) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights, once nothing in the folder can hang, exhaust or take over the process.

    Raises:
        DataError: naming what can.
    """
    try:
        for path in folder.iterdir():
            if not path.is_dir():
                check_regular(path.stat(), path)
        settings = read_json(folder / _SETTINGS, _LARGEST_SETTINGS)
        shapes = shapes_of(open_tensors(folder / _WEIGHTS))
    except (OSError, ValueError, DataError) as error:
        raise DataError(
            f"{folder} cannot be read as {what}: {one_line(error)}; get it from {source}"
        ) from error
    refused = _refused(settings)
    if refused:
        raise DataError(
            f"{folder / _SETTINGS} states {refused}, which is not taken; get {what} from {source}"
        )
    return shapes


def _refused(settings: Any) -> str:
    """What of the settings is not taken; nothing if all is."""
    waiting = [settings]
    while waiting:
        value = waiting.pop()
        if isinstance(value, int) and abs(value) > _LARGEST_NUMBER:
            return f"a number beyond {_LARGEST_NUMBER:,}"
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            for name, one in value.items():
                if name in _OF_OTHERS or (name.endswith(_IMPLEMENTATION) and one is not None):
                    return str(name)[:60]
                waiting.append(one)
    return ""
