"""The provenance of numbers: versions of all that computed them, and the machine (torch is imported for the
machine alone)."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from thalweg.plugins import files as plugin_files
from thalweg.plugins import registry

_PACKAGES = ("torch", "torchvision", "numpy", "pillow", "torch-fidelity", "timm", "transformers")


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
    import torch  # who reads passports has no need of it

    return {
        "device": device,
        "processes": processes,
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
        "seconds": round(seconds, 2),
    }
