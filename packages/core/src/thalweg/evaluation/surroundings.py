"""Where an evaluation takes place: folders, machine, installed software."""

import os
import platform
import secrets
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from thalweg import files
from thalweg.errors import ThalwegError
from thalweg.files import PARTIAL
from thalweg.folders import clear_leftovers, make_folders
from thalweg.plugins import files as plugin_files
from thalweg.plugins import registry
from thalweg.storage import cache_folder

_PACKAGES = ("torch", "torchvision", "numpy", "pillow", "torch-fidelity", "timm", "transformers")


def default_work() -> Path:
    """The folder for unfinished work and reference statistics, below the user's cache."""
    return cache_folder() / "evaluation"


def check_writable(*paths: Path) -> None:
    """Raise if files cannot be written, before anything is computed for them; their folders are made.

    What killed writes of the same files have left beside them is removed.

    Raises:
        ThalwegError: naming the first.
    """
    for path in paths:
        try:
            make_folders(path.parent)
            clear_leftovers(path)
            # Under such a name it is written, which may be too long where the path itself is not.
            probe = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL}")
            os.close(files.disk.create(probe))
            files.disk.remove(probe)
        except OSError as error:
            raise ThalwegError(
                f"cannot write {path}: {error.strerror or error}; choose a place open to writing"
            ) from error


def check_room(folder: Path, needed: int, option: str) -> None:
    """Raise if a folder's disk has less room than what is going to be written there, before any work.

    Args:
        folder: where; not there yet, perhaps. What is in it counts as written.
        needed: bytes in all.
        option: what names another place, for the message.

    Raises:
        ThalwegError: saying how much is missing.
    """
    place = next((one for one in (folder, *folder.parents) if one.is_dir()), None)
    try:
        free = shutil.disk_usage("." if place is None else place).free
        there = sum(path.stat().st_size for path in folder.glob("*")) if place == folder else 0
    except OSError:
        return  # who writes there will say what is wrong
    if needed > free + there:
        sizes = [f"{size / 2**30:.1f} GiB" for size in (needed, free + there)]
        raise ThalwegError(
            f"about {sizes[0]} are going to be written to {folder.parent}, and {sizes[1]} are free there; "
            f"make room, or name another place by {option}"
        )


def software() -> dict[str, Any]:
    """Versions of Python, of packages that numbers depend on, and of plugins; SHA-256s of plugin files."""
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    named = {file.name: file.sha256 for file in plugin_files()}
    plugins = {
        plugin.origin.distribution: plugin.origin.version
        for plugin in registry().plugins
        if plugin.origin.distribution and plugin.origin.distribution not in named
    }
    found = {"python": platform.python_version(), "packages": packages, "plugins": plugins}
    return {**found, "files": named} if named else found


def machine(device: str, processes: int, seconds: float) -> dict[str, Any]:
    """What numbers were computed on, and how long it took."""
    return {
        "device": device,
        "processes": processes,
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
        "seconds": round(seconds, 2),
    }
