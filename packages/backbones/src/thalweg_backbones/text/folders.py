"""Text encoders in folders as Hugging Face publishes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from thalweg.errors import DataError
from thalweg.facts import WIDEST_TOKEN
from thalweg.regular import read_json
from thalweg.transformers_folder import load_folder
from thalweg_backbones.text.frozen import FrozenTextEncoder, Read

EXTRA = "thalweg-backbones[transformers]"
SETTINGS, WEIGHTS = "config.json", "model.safetensors"
_LARGEST = 2**20  # bytes of settings; published ones take some kB


def setting(folder: Path, names: Sequence[str], what: str, source: str) -> int:
    """A size that config.json states, such as its width, without loading anything else.

    Args:
        folder: the folder.
        names: where it stands, such as ``("text_config", "hidden_size")``.
        what: what the folder should hold, for messages.
        source: where to get it.

    Raises:
        DataError: if the file is missing or states none.
    """
    path = folder / SETTINGS
    try:
        found = read_json(path, _LARGEST)
        for name in names:
            found = found[name]
    except FileNotFoundError as error:
        raise DataError(
            f"{folder} holds no {what}, as {SETTINGS} is missing; download {SETTINGS}, {WEIGHTS} and the "
            f"files of the tokenizer from {source} into it"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path} describes no {what}; get it from {source}") from error
    if type(found) is not int or not 1 <= found <= WIDEST_TOKEN:
        raise DataError(f"{path} describes no {what}; get it from {source}")
    return found


def encoder_in(
    folder: Path,
    kind: str,
    names: tuple[str, str],
    what: str,
    source: str,
    read: Read,
    *,
    shape: tuple[int, int],
    sha256: str,
) -> FrozenTextEncoder:
    """Load the encoder that a folder holds.

    Args:
        folder: the folder.
        kind: what it is registered as.
        names: classes of its network and of its tokenizer in transformers.
        what: what the folder should hold, for messages.
        source: where to get it.
        read: how the network is asked.
        shape: L and E.
        sha256: how the SHA-256 of the weights must begin; empty takes any.

    Raises:
        PluginError: if transformers is not installed.
        DataError: if the folder is missing, damaged or holds something else.
    """
    model, tokenizer = names
    found = load_folder(folder, model, what, source, EXTRA, tokenizer=tokenizer, expected=sha256)
    length, width = shape
    identity = {"type": kind, "sha256": found.sha256}
    return FrozenTextEncoder(identity, found.model, found.tokenizer, read, length=length, width=width)


def masked(model: nn.Module, ids_NL: Tensor, mask_NL: Tensor) -> Tensor:
    """The last hidden states of a network from which padding is hidden."""
    output: Any = model(input_ids=ids_NL, attention_mask=mask_NL.long())
    hidden_NLE: Tensor = output.last_hidden_state
    return hidden_NLE
