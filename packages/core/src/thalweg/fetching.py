"""Saved networks by URL: brought to this machine, verified, once."""

import logging
from pathlib import Path

from thalweg.checkpoint import MANIFEST, candidates, remote
from thalweg.files import sha256, write_bytes
from thalweg.folders import remove_tree
from thalweg.saved_network import DESCRIPTION, TENSORS, read_description
from thalweg.storage import Location, MissingError, folder_for
from thalweg.storage.locks import holding
from thalweg.storage.places import is_url, plain_place

_LARGEST = 4 * 2**20  # bytes of a small file
_RUN, _MODEL, _CHECKPOINTS = "config.toml", "model", "checkpoints"


def on_this_machine(place: str | Path) -> Path | None:
    """Where a saved network, a run that holds one, or one of its checkpoints is on this machine.

    Args:
        place: a path, which is returned as it is, or a URL.

    Returns:
        A folder of the same form in the user's cache, with the network and the run's configuration but
        nothing else; None if the URL holds neither.

    Raises:
        DataError: if what is there cannot be read or is damaged.
        ThalwegError: if the cache cannot be written.
    """
    named = plain_place(place)
    if not is_url(named):
        return Path(named)
    there = Location(named)
    # A model or checkpoint inside a run keeps its place below it, so that the run is found from there.
    below = _below(named)
    run = Location(named.rstrip("/").removesuffix(below).rstrip("/")) if below else there
    folder = folder_for(run, "networks")
    folder.mkdir(parents=True, exist_ok=True)
    with holding(folder / ".lock"):
        _current(run / _RUN, folder / _RUN)
        return _fetched(there, folder, below)


def run_config(place: str | Path) -> Path | None:
    """The configuration of the run at a path or URL, on this machine; None if there is none.

    Raises:
        DataError: if it cannot be read.
        ThalwegError: if the cache cannot be written.
    """
    named = plain_place(place)
    if not is_url(named):
        file = Path(named) / _RUN
        return file if file.is_file() else None
    there = Location(named)
    folder = folder_for(there, "networks")
    folder.mkdir(parents=True, exist_ok=True)
    with holding(folder / ".lock"):
        return folder / _RUN if _current(there / _RUN, folder / _RUN) else None


def _below(place: str) -> str:
    """What a URL says below a run: ``model``, ``model-AVERAGE``, a checkpoint, or nothing."""
    parts = place.rstrip("/").split("/")
    if parts[-2] == _CHECKPOINTS and candidates(parts[-1:]):
        return "/".join(parts[-2:])
    return parts[-1] if parts[-1] == _MODEL or parts[-1].startswith(f"{_MODEL}-") else ""


def _fetched(there: Location, folder: Path, below: str) -> Path | None:
    if (there / MANIFEST).exists():
        return remote.fetch(there, (folder / below).parent if below else folder)
    if _network(there, folder / below):
        return folder / below
    if below:
        return None
    if _network(there / _MODEL, folder / _MODEL):
        return folder
    checkpoints = folder / _CHECKPOINTS
    newest = remote.fetch_latest_complete(
        there / _CHECKPOINTS, checkpoints, logging.getLogger("thalweg").warning
    )
    if newest is None:
        return None
    for former in set(checkpoints.iterdir()) - {newest}:
        remove_tree(former)
    return folder


def _network(there: Location, folder: Path) -> bool:
    """Bring a saved network; whether there is one."""
    if not _current(there / DESCRIPTION, folder / DESCRIPTION):
        return False
    stated = str(
        read_description(folder / DESCRIPTION, sealed=True, name=str(there / DESCRIPTION)).get("sha256")
    )
    tensors = folder / TENSORS
    if not tensors.is_file() or sha256(tensors) != stated:
        (there / TENSORS).download(tensors, sha256=stated)
    return True


def _current(there: Location, path: Path) -> bool:
    """Bring a small file, or remove what is here of one that is gone; whether it is there."""
    try:
        content = there.read(limit=_LARGEST)
    except MissingError:
        path.unlink(missing_ok=True)
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content)
    return True
