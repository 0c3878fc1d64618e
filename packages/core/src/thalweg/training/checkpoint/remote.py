"""Checkpoints on an object store, where nothing can be renamed: one is there once its manifest is."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from thalweg import files
from thalweg.errors import DataError
from thalweg.files import sync_folder
from thalweg.folders import make_folders, remove_tree, replace_folder
from thalweg.regular import read_bytes
from thalweg.storage import Location, MissingError
from thalweg.training.checkpoint.finding import PARTIAL, candidates, step_of
from thalweg.training.checkpoint.manifest import MANIFEST, listed

_THREADS = 4
"""Files that are carried at a time."""


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
        DataError: if it is no whole checkpoint, naming the file.
        ThalwegError: if the folder cannot be written.
    """
    place = folder / there.name
    manifest = (there / MANIFEST).read()
    if not place.is_symlink() and _has(place / MANIFEST, manifest):
        return place
    partial = folder / f"{PARTIAL}fetched-{there.name}"
    make_folders(folder)
    if os.path.lexists(partial):
        remove_tree(partial)
    files.disk.make_folder(partial)
    files.write_new(partial / MANIFEST, [manifest])
    seals = listed(partial)
    with ThreadPoolExecutor(_THREADS) as threads:
        tasks = [
            threads.submit((there / name).download, partial / name, sha256=seal.sha256, size=seal.bytes)
            for name, seal in seals.items()
        ]
        for task in tasks:
            task.result()
    sync_folder(partial)
    former = replace_folder(place, partial)
    if former is not None:
        remove_tree(former)
    return place


def fetch_newest(there: Location, folder: Path, complain: Callable[[str], None]) -> Path | None:
    """Download the newest whole checkpoint; None if there is none at all.

    Args:
        there: where checkpoints live.
        folder: the same on this machine.
        complain: told of each one that is damaged or was not finished, before the one before is taken.

    Raises:
        DataError: if there are some with a manifest and all are damaged.
    """
    found = remote_checkpoints(there)
    for name in list(reversed(found)):
        if not (there / name / MANIFEST).exists():
            complain(f"{there / name} has no {MANIFEST}, so its upload was not finished: passing over it")
            found.remove(name)
            continue
        try:
            return fetch(there / name, folder)
        except DataError as error:
            complain(f"{error}: going back to the one before")
    if found:
        raise DataError(
            f"none of the {len(found)} checkpoints in {there} is whole; restore one, or begin again in "
            f"another folder"
        )
    return None


def prune(folder: Location, step: int, keep: int, keep_every: int) -> None:
    """Remove old checkpoints, as :func:`thalweg.training.checkpoint.publish` does on a disk."""
    names = [name for name in remote_checkpoints(folder) if step_of(Path(name)) <= step]
    for name in names[:-keep]:
        if not (keep_every and step_of(Path(name)) % keep_every == 0):
            drop(folder / name)


def _has(path: Path, content: bytes) -> bool:
    try:
        return read_bytes(path) == content
    except OSError:
        return False
