"""The configuration that each checkpoint keeps, from which a run's own can be restored."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from thalweg.errors import DataError, ThalwegError
from thalweg.files import Seal
from thalweg.regular import parse_json, read_bytes
from thalweg.storage import Location
from thalweg.training.checkpoint.finding import checkpoints
from thalweg.training.checkpoint.manifest import MANIFEST, listed, parse_manifest
from thalweg.training.checkpoint.remote import remote_checkpoints

CONFIG_KEPT = "config.json"


def kept_config(folder: Path) -> tuple[str, dict[str, Any]] | None:
    """The newest checkpoint whose configuration is whole, and that configuration; None if there is none.

    Args:
        folder: where checkpoints live. Their tensors are not looked at.
    """
    for place in reversed(checkpoints(folder)):

        def read(place: Path = place) -> tuple[dict[str, Seal], bytes]:
            return listed(place), read_bytes(place / CONFIG_KEPT)

        found = _whole(read)
        if found is not None:
            return str(place), found
    return None


def kept_config_there(folder: Location) -> tuple[str, dict[str, Any]] | None:
    """The same on an object store."""
    for name in reversed(remote_checkpoints(folder)):
        there = folder / name

        def read_there(there: Location = there) -> tuple[dict[str, Seal], bytes]:
            return parse_manifest((there / MANIFEST).read(), Path(there.name)), (there / CONFIG_KEPT).read()

        found = _whole(read_there)
        if found is not None:
            return str(there), found
    return None


def _whole(read: Callable[[], tuple[dict[str, Seal], bytes]]) -> dict[str, Any] | None:
    try:
        seals, content = read()
        seal = seals.get(CONFIG_KEPT)
        if seal is None or seal.sha256 != hashlib.sha256(content).hexdigest():
            return None
        config = parse_json(content)
    except (ThalwegError, DataError, OSError, ValueError):
        return None
    return config if isinstance(config, dict) else None
