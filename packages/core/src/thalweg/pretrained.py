"""Networks of transformers from a folder on this machine, as Hugging Face publishes it."""

import importlib
from pathlib import Path
from typing import Any

import attrs
from torch import nn

from thalweg.errors import DataError, PluginError
from thalweg.files import sha256
from thalweg.suggestions import one_line

_WEIGHTS = "model.safetensors"


@attrs.frozen(eq=False)
class Loaded:
    """What a folder held.

    Attributes:
        model: the network in float32, for inference.
        tokenizer: its tokenizer, if one was asked for.
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
    for file in ("config.json", _WEIGHTS):
        if not (folder / file).is_file():
            files = f"config.json and {_WEIGHTS}{' and the files of the tokenizer' if tokenizer else ''}"
            raise DataError(
                f"{folder} holds no {what}, as {file} is missing; download {files} from {source} into it"
            )
    found = sha256(folder / _WEIGHTS)
    if not found.startswith(expected):
        raise DataError(
            f"{folder / _WEIGHTS} is not {what}: its SHA-256 is {found}, which does not begin with "
            f"{expected}; get the right one from {source}, or set 'sha256' to take this one as it is"
        )
    bars = transformers.utils.logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        options = {"local_files_only": True}
        network = getattr(transformers, model).from_pretrained(folder, use_safetensors=True, **options)
        reader = getattr(transformers, tokenizer).from_pretrained(folder, **options) if tokenizer else None
    except Exception as error:  # transformers raises a dozen kinds on a damaged folder
        raise DataError(
            f"{folder} cannot be read as {what}: {one_line(error)}; get it from {source}"
        ) from error
    finally:
        if shown:
            bars.enable_progress_bar()
    return Loaded(network.float().eval().requires_grad_(False), reader, found)
