"""Where an evaluation takes place: folders, machine, installed software."""

import platform
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from thalweg.errors import ThalwegError
from thalweg.plugins import registry
from thalweg.storage import cache_folder

_PACKAGES = ("torch", "torchvision", "numpy", "pillow", "torch-fidelity", "timm", "transformers")


def default_work() -> Path:
    """The folder for unfinished work and reference statistics, below the user's cache."""
    return cache_folder() / "evaluation"


def check_writable(path: Path) -> None:
    """Raise if a file cannot be written, before anything is computed for it.

    Raises:
        ThalwegError: naming it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise ThalwegError(
            f"cannot write {path}: {error.strerror or error}; choose a place open to writing"
        ) from error


def software() -> dict[str, Any]:
    """Versions of Python, of packages that numbers depend on, and of plugins."""
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    plugins = {
        plugin.origin.distribution: plugin.origin.version
        for plugin in registry().plugins
        if plugin.origin.distribution
    }
    return {"python": platform.python_version(), "packages": packages, "plugins": plugins}
