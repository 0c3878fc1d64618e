"""Documents as others may read them: without paths of this machine and without secrets."""

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thalweg.errors import ThalwegError
from thalweg.storage.redaction import redacted

_LOCAL = re.compile(r"(?:file:/+|/|~|[A-Za-z]:[\\/])", re.IGNORECASE)
_SHORTEST = 4
"""Shorter paths, such as ``/``, are in every text."""


def without_paths(value: Any) -> Any:
    """Plain values in which of each path of this machine only the last name is left.

    Args:
        value: mappings, lists and what JSON or TOML can hold.
    """
    if isinstance(value, Mapping):
        return {key: without_paths(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(one) for one in value]
    if isinstance(value, str) and _LOCAL.match(value):
        return re.split(r"[\\/]", value.rstrip("\\/"))[-1] or "."
    return value


def check_clean(name: str, content: bytes, *own: Path) -> None:
    """Make sure that a text that is going to be sent tells nothing of this machine.

    Args:
        name: what it is called, for messages.
        content: the text.
        own: folders of the run, besides those that are looked for in any case.

    Raises:
        ThalwegError: it holds a secret, or a folder of this machine by its path.
    """
    text = content.decode(errors="replace")
    if redacted(text) != text:
        raise ThalwegError(f"{name} holds a credential, and is not sent; take it out of the run")
    folders = [Path.home(), Path.cwd(), Path(tempfile.gettempdir()), *own]
    for folder in dict.fromkeys(map(os.path.abspath, folders)):
        if len(folder) >= _SHORTEST and re.search(rf"(?<![\w./-]){re.escape(folder)}(?![\w-])", text):
            raise ThalwegError(
                f"{name} holds the path {folder} of this machine, and is not sent; take it out"
            )
