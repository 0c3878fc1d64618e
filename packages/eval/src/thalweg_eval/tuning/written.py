"""The protocol with what was chosen, as a file."""

import os
from pathlib import Path

import attrs

from thalweg.config import dump, read_toml, to_toml
from thalweg.documents import write_text
from thalweg.errors import ConfigError
from thalweg.folders import check_writable
from thalweg_eval.evaluation.protocol import Protocol

_MARK = "Written by thalweg tune"


def check_written(path: Path) -> None:
    """Make sure that the protocol can be written before any work, over nothing but what this wrote before.

    Raises:
        ConfigError: it is no TOML file's name, or the name of something else.
        ThalwegError: it cannot be written there.
    """
    if path.suffix != ".toml":
        raise ConfigError(f"--write {path} is no protocol's name; a protocol's file ends in .toml")
    if os.path.lexists(path):
        ours = path.is_file() and str(read_toml(path).get("description", "")).startswith(_MARK)
        if not ours:
            raise ConfigError(
                f"{path} exists and was not written by a tuning; choose another name, or move it"
            )
    check_writable(path)


def write_protocol(path: Path, chosen: Protocol, tuned: str, what: str) -> None:
    """Write a protocol in full, its own settings with it, under the file's name and as version 1.

    Args:
        path: where.
        chosen: the protocol of the chosen point.
        tuned: what was tuned: ``guidance`` or ``sampler``.
        what: the chosen point's name.

    Raises:
        ThalwegError: it cannot be written.
    """
    former = f" {chosen.config.description}" if chosen.config.description else ""
    config = attrs.evolve(
        chosen.config,
        name=path.stem,
        version=1,
        description=f"{_MARK} {tuned}: {chosen.config.name} with {what}.{former}",
    )
    write_text(path, to_toml(dump(config)))
