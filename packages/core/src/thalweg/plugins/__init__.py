"""Plugins: found through the entry points of the group ``thalweg``, loaded tolerantly (no torch here).

Whatever is wrong with one plugin is recorded as a :class:`Fault`; the rest loads. The built-in plugins
come first, then all others by distribution, and the first to register a name keeps it.

``THALWEG_PLUGINS=a,b`` loads only the plugins of these entry-point names (and ``core``, always); empty
means no limit. :func:`block`, or ``-p no:NAME`` on the command line, leaves single ones out.
"""

import os
from typing import Any

from thalweg.errors import PluginError
from thalweg.plugins.building import build_with
from thalweg.plugins.catalogue import Registry
from thalweg.plugins.loading import load
from thalweg.plugins.records import KINDS, Component, Fault, LoadedPlugin, Origin

__all__ = [
    "KINDS",
    "Component",
    "Fault",
    "LoadedPlugin",
    "Origin",
    "Registry",
    "block",
    "build_component",
    "load",
    "registry",
]

ALLOW_LIST = "THALWEG_PLUGINS"


class _Process:
    """The registry of this process and what it was loaded with."""

    registry: Registry | None = None
    blocked: frozenset[str] = frozenset()
    loading = False


def registry() -> Registry:
    """The registry of this process, loaded at the first call.

    Raises:
        PluginError: a plugin asks for it while it is being loaded itself.
    """
    if _Process.registry is None:
        if _Process.loading:
            raise PluginError("a plugin asks for the registry while plugins are still being loaded")
        _Process.loading = True
        try:
            _Process.registry = load(_allowed(), _Process.blocked)
        finally:
            _Process.loading = False
    return _Process.registry


def block(*names: str) -> None:
    """Leave exactly the plugins of these entry-point names out from now on; none lifts the block.

    A registry that was loaded before is loaded anew at the next :func:`registry`.
    """
    _Process.blocked = frozenset(names)
    _Process.registry = None


def build_component(config: Any, *arguments: Any) -> Any:
    """Build a component from its config.

    Args:
        config: of the component.
        *arguments: what its kind is built from: facts, the run directory, or nothing.

    Raises:
        PluginError: its ``build`` raised what is no :class:`thalweg.ThalwegError`, or returned nothing;
            the message names component, distribution and module.
    """
    return build_with(registry(), config, *arguments)


def _allowed() -> frozenset[str] | None:
    names = frozenset(name.strip() for name in os.environ.get(ALLOW_LIST, "").split(",") if name.strip())
    return names or None
