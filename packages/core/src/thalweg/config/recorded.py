"""The configuration that a run's folder records: TOML whose last line is a digest of the lines before."""

import hashlib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thalweg.config.dumping import to_toml
from thalweg.errors import DataError
from thalweg.plugins.recording import FILES_KEY, note_files
from thalweg.regular import read_bytes
from thalweg.storage.redaction import redacted_plain

CONFIG = "config.toml"
"""Its name in the folder."""

_LARGEST = 16 * 2**20
_SEAL = re.compile(rb'# sha256 = "([0-9a-f]{64})"\n\Z')


def recorded_text(data: Mapping[str, Any]) -> str:
    """A configuration in plain values as text, secrets masked, with its digest."""
    text = to_toml(redacted_plain(data))
    return f'{text}# sha256 = "{hashlib.sha256(text.encode()).hexdigest()}"\n'


def parse_recorded(content: bytes) -> dict[str, Any]:
    """The configuration in plain values.

    Raises:
        ValueError: if the content is not what :func:`recorded_text` gave; it says what is wrong, in words.
    """
    if not content.strip(b"\0"):
        raise ValueError("it is empty")
    seal = _SEAL.search(content)
    if seal is None:
        raise ValueError("its last line, with its SHA-256, is missing")
    text = content[: seal.start()]
    if hashlib.sha256(text).hexdigest() != seal[1].decode():
        raise ValueError("it does not match its own SHA-256")
    try:
        return tomllib.loads(text.decode())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_recorded(path: Path) -> dict[str, Any]:
    """The configuration of the run whose ``config.toml`` this is.

    Plugin files that it was trained with and that are not loaded are noted, so that whoever asks for one
    of their components is told.

    Raises:
        FileNotFoundError: if there is none.
        DataError: if it cannot be read, or is damaged.
    """
    try:
        found = parse_recorded(read_bytes(path, _LARGEST))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror or error}); give permission there"
        ) from error
    except ValueError as error:
        raise DataError(
            f"{path} is damaged ({error}); put a copy in its place, or train the run once more, which "
            f"restores it from a checkpoint"
        ) from error
    note_files(found.get(FILES_KEY), str(path))
    return found
