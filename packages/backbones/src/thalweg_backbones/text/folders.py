"""Text encoders in folders as Hugging Face publishes them."""

import json
from collections.abc import Sequence
from pathlib import Path

from thalweg.errors import DataError
from thalweg.files import sha256

EXTRA = "thalweg-backbones[transformers]"
SETTINGS, WEIGHTS = "config.json", "model.safetensors"


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
        found = json.loads(path.read_text())
        for name in names:
            found = found[name]
    except FileNotFoundError as error:
        raise DataError(
            f"{folder} holds no {what}, as {SETTINGS} is missing; download {SETTINGS}, {WEIGHTS} and the "
            f"files of the tokenizer from {source} into it"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path} describes no {what}; get it from {source}") from error
    if type(found) is not int or found < 1:
        raise DataError(f"{path} describes no {what}; get it from {source}")
    return found


def check_weights(folder: Path, expected: str, what: str, source: str) -> None:
    """Compare the SHA-256 of the weights, if one is expected.

    Raises:
        DataError: if they are missing, or others.
    """
    path = folder / WEIGHTS
    if not expected:
        return
    if not path.is_file():
        raise DataError(f"{folder} holds no {what}, as {WEIGHTS} is missing; get it from {source}")
    found = sha256(path)
    if not found.startswith(expected):
        raise DataError(
            f"{path} is not {what}: its SHA-256 is {found}, which does not begin with {expected}; get the "
            f"right one from {source}, or set 'sha256' to take this one as it is"
        )
