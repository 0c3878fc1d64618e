"""Loggers, one a file, and where they may write: within the run directory, through no link."""

from pathlib import Path, PurePath
from typing import Any

import attrs

from thalweg.errors import ConfigError
from thalweg.folders import refuse_links


def within(instance: Any, field: "attrs.Attribute[str]", value: str) -> None:  # noqa: ARG001 - attrs' signature
    """A validator: a path that stays within the folder that it is relative to."""
    path = PurePath(value)
    outside = path.is_absolute() or ".." in path.parts or "://" in value
    if not path.parts or outside or "\0" in value:
        raise ValueError(f"'{field.name}' must be a name within the run directory, not {value!r}")


def folder_within(run_dir: Path, name: str) -> Path:
    """A folder that a logger writes in; need not be there yet.

    Raises:
        ConfigError: if a link leads out of it, or something else has its name.
    """
    refuse_links(run_dir, name)
    folder = run_dir / name
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is no folder; move it away")
    return folder
