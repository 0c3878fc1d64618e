"""Saved networks by URL: brought to this machine, verified, once."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thalweg.checkpoint import MANIFEST, candidates, checkpoints, remote
from thalweg.files import sha256, write_bytes
from thalweg.folders import remove_tree
from thalweg.saved_network import DESCRIPTION, TENSORS, read_description
from thalweg.storage import Location, MissingError, folder_for
from thalweg.storage.hub.address import SCHEME, hub_address
from thalweg.storage.locks import holding
from thalweg.storage.offline import offline
from thalweg.storage.places import is_url, plain_place

_LARGEST = 4 * 2**20  # bytes of a small file
_RUN, _MODEL, _CHECKPOINTS = "config.toml", "model", "checkpoints"


def on_this_machine(place: str | Path, options: Mapping[str, Any] | None = None) -> Path | None:
    """Where a saved network, a run that holds one, or one of its checkpoints is on this machine.

    Of a repository of the Hub all files are from one commit. Where downloads are ruled out
    (``THALWEG_OFFLINE``, ``HF_HUB_OFFLINE``), it is what was brought here before.

    Args:
        place: a path, which is returned as it is, or a URL.
        options: storage options of the URL, such as a token.

    Returns:
        A folder of the same form in the user's cache, with the network and the run's configuration but
        nothing else; None if the URL holds neither.

    Raises:
        DataError: if what is there cannot be read or is damaged, or nothing may be downloaded.
        ThalwegError: if the cache cannot be written.
    """
    named = plain_place(place)
    if not is_url(named):
        return Path(named)
    # A model or checkpoint inside a run keeps its place below it, so that the run is found from there.
    below = _below(named)
    run = Location(_above(named, below), options)
    folder = folder_for(run, "networks")
    if stated := _ruled_out(named):
        return _kept(Location(named, options), folder, below, stated)
    folder.mkdir(parents=True, exist_ok=True)
    with holding(folder / ".lock"):
        run = run.pinned()
        _current(run / _RUN, folder / _RUN)
        return _fetched(run / below if below else run, folder, below)


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
    if _ruled_out(named):
        return folder / _RUN if (folder / _RUN).is_file() else None
    folder.mkdir(parents=True, exist_ok=True)
    with holding(folder / ".lock"):
        return folder / _RUN if _current(there.pinned() / _RUN, folder / _RUN) else None


def averaged_at(place: str, average: str) -> str:
    """The URL of another average of the run that a URL names, or whose model it names."""
    return f"{_above(place, _below(place)).rstrip('/')}/{_MODEL}-{average}"


def _below(place: str) -> str:
    """What a URL says below a run: ``model``, ``model-AVERAGE``, a checkpoint, or nothing."""
    # A repository of the Hub may be called so itself.
    inside = hub_address(place).path if place.startswith(SCHEME) else place
    parts = ["", *inside.rstrip("/").split("/")]
    if parts[-2] == _CHECKPOINTS and candidates(parts[-1:]):
        return "/".join(parts[-2:])
    return parts[-1] if parts[-1] == _MODEL or parts[-1].startswith(f"{_MODEL}-") else ""


def _above(place: str, below: str) -> str:
    return place.rstrip("/").removesuffix(below).rstrip("/") if below else place


def _ruled_out(place: str) -> str:
    """The variable by which the user has ruled out that the Hub is asked; empty if none does."""
    return offline() if place.startswith(SCHEME) else ""


def _kept(there: Location, folder: Path, below: str, stated: str) -> Path:
    """What was brought here before.

    Raises:
        MissingError: nothing was.
    """
    if any((folder / below / name).is_file() for name in (MANIFEST, DESCRIPTION)):
        return folder / below
    if not below and ((folder / _MODEL / DESCRIPTION).is_file() or checkpoints(folder / _CHECKPOINTS)):
        return folder
    raise MissingError(
        f"{stated} is set, so nothing is downloaded, and {there} was not loaded here before; load it once "
        "without, or download the repository and give its folder"
    )


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
