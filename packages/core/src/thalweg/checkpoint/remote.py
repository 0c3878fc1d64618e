"""Checkpoints on an object store, where nothing can be renamed: one is there once its manifest is."""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from thalweg import files
from thalweg.checkpoint.folder import PARTIAL, candidates, checkpoints, outdated
from thalweg.checkpoint.manifest import MANIFEST, listed, parse_manifest
from thalweg.errors import DataError, ThalwegError
from thalweg.files import sync_folder
from thalweg.folders import make_folders, remove_tree, replace_folder
from thalweg.regular import parse_json, read_bytes
from thalweg.storage import Location, MissingError

_THREADS = 4
"""Files that are carried at a time."""

_CONFIG = "config.json"


def remote_checkpoints(folder: Location) -> list[str]:
    """Names of all checkpoints by step, whole or not."""
    try:
        return candidates(folder.children())
    except MissingError:
        return []


def send(checkpoint: Path, folder: Location) -> None:
    """Upload a checkpoint: its files first, then the manifest, by which it exists.

    Args:
        checkpoint: a whole one.
        folder: where checkpoints live. What stands under its name is replaced.

    Raises:
        DataError: if the checkpoint has no manifest.
        ThalwegError: if it cannot be written.
    """
    there = folder / checkpoint.name
    if checkpoint.name in remote_checkpoints(folder):
        drop(there)  # a damaged one that the run went back behind
    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(lambda name: (there / name).upload(checkpoint / name), listed(checkpoint)))
    (there / MANIFEST).upload(checkpoint / MANIFEST)


def clear_unfinished(folder: Location) -> None:
    """Remove the checkpoints that have no manifest."""
    for name in remote_checkpoints(folder):
        if not (folder / name / MANIFEST).exists():
            drop(folder / name)


def drop(there: Location) -> None:
    """Remove a checkpoint: its manifest first, so that what is half removed is none."""
    (there / MANIFEST).remove()
    there.remove()


def fetch(there: Location, folder: Path) -> Path:
    """Download a checkpoint, unless the same one is here already.

    Args:
        there: the checkpoint.
        folder: where checkpoints live on this machine.

    Returns:
        Where it is, verified.

    Raises:
        DataError: if it is no complete checkpoint, naming the file.
        ThalwegError: if the folder cannot be written.
    """
    place = folder / there.name
    manifest = (there / MANIFEST).read()
    with suppress(OSError):
        if not place.is_symlink() and read_bytes(place / MANIFEST) == manifest:
            return place
    partial = folder / f"{PARTIAL}fetched-{there.name}"
    make_folders(folder)
    if os.path.lexists(partial):
        remove_tree(partial)
    files.disk.make_folder(partial)
    files.write_new(partial / MANIFEST, [manifest])
    seals = listed(partial)

    def bring(name: str) -> None:
        (there / name).download(partial / name, sha256=seals[name].sha256, size=seals[name].bytes)

    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(bring, seals))
    sync_folder(partial)
    former = replace_folder(place, partial)
    if former is not None:
        remove_tree(former)
    return place


def fetch_latest_complete(there: Location, folder: Path, warn: Callable[[str], None]) -> Path | None:
    """Download the latest complete checkpoint; None if there is none at all.

    Args:
        there: where checkpoints live.
        folder: the same on this machine.
        warn: called for each one that is damaged or was not finished, before the one before is taken.

    Raises:
        DataError: if there are some with a manifest and all are damaged.
    """
    found = remote_checkpoints(there)
    for name in list(reversed(found)):
        if not (there / name / MANIFEST).exists():
            warn(f"{there / name} has no {MANIFEST}, so its upload was not finished: passing over it")
            found.remove(name)
            continue
        try:
            return fetch(there / name, folder)
        except DataError as error:
            warn(f"{error}: going back to the one before")
    if found:
        raise DataError(
            f"none of the {len(found)} checkpoints in {there} is whole; restore one, or begin again in "
            f"another folder"
        )
    return None


def prune(folder: Location, step: int, keep: int, keep_every: int) -> None:
    """Remove outdated checkpoints, as :func:`thalweg.checkpoint.publish` does on a disk."""
    for name in outdated(remote_checkpoints(folder), step, keep, keep_every):
        drop(folder / name)


def kept_config(folder: Path | Location) -> tuple[str, dict[str, Any]] | None:
    """The newest checkpoint whose configuration is whole, and that configuration; None if there is none.

    Args:
        folder: of the checkpoints, here or on an object store. Their tensors are not read.
    """
    names = (
        [path.name for path in checkpoints(folder)]
        if isinstance(folder, Path)
        else remote_checkpoints(folder)
    )
    for name in reversed(names):
        place = folder / name
        try:
            seals = parse_manifest(_content(place / MANIFEST), Path(name))
            content = _content(place / _CONFIG)
            config = parse_json(content)
        except (ThalwegError, OSError, ValueError):
            continue
        seal = seals.get(_CONFIG)
        intact = seal is not None and seal.sha256 == hashlib.sha256(content).hexdigest()
        if intact and isinstance(config, dict):
            return str(place), config
    return None


def _content(file: Path | Location) -> bytes:
    return read_bytes(file) if isinstance(file, Path) else file.read()
