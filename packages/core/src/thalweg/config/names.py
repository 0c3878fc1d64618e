"""Names of runs: what they are called, and by default the folder below ``runs/`` that they are in."""

import re

import attrs

from thalweg.errors import ConfigError
from thalweg.storage.redaction import excerpt
from thalweg.visible import visible_line

_LONGEST_PART, _LONGEST = 200, 1000
"""Bytes; file systems take 255 a part, and something is written beside it for a while."""


def check_name(_: object, attribute: "attrs.Attribute[str]", name: str) -> None:
    """A validator: a name may have slashes, as ``SiT-XL/2`` has, and leads to a folder below ``runs/``.

    Raises:
        ConfigError: if it would lead elsewhere, or is no name that a folder can have.
    """
    problem = _problem(name) if isinstance(name, str) else "is no text"
    if problem:
        shown = repr(excerpt(name, 60)) if isinstance(name, str) else repr(name)
        raise ConfigError(f"must be a {attribute.name} that a folder can have; {shown} {problem}")


def name_of(text: str) -> str:
    """The nearest text that is such a name, for what is named after something else."""
    fit = re.sub(r"[/\\]+", "-", visible_line(text).replace("\\", "-")).strip(" ").lstrip(".")
    return fit.encode(errors="replace")[:_LONGEST_PART].decode(errors="ignore") or "run"


def _problem(name: str) -> str:
    if not name.strip():
        return "is empty"
    if visible_line(name) != name:
        return "has control characters"
    if "\\" in name:
        return "has a backslash"
    parts = name.split("/")
    if "" in parts:
        return "begins or ends with a slash, or has two in a row"
    if any(part.startswith(".") for part in parts):
        return "has a part that begins with a dot"
    if len(name.encode()) > _LONGEST or any(len(part.encode()) > _LONGEST_PART for part in parts):
        return f"is too long, {_LONGEST_PART} bytes a part are possible"
    return ""
