"""Plugins: found through the entry points of the group ``thalweg``, loaded tolerantly (no torch here).

Whatever is wrong with one plugin is recorded as a :class:`Fault`; the rest loads. The built-in plugins
come first, then all others by distribution, and the first to register a name keeps it.

``THALWEG_PLUGINS=a,b`` loads only the plugins of these entry-point names (and ``core``, always); empty
means no limit. :func:`block`, or ``-p no:NAME`` on the command line, leaves single ones out.

:func:`register` enters a component from Python, :func:`use_file`, or ``-p FILE.py`` on the command line, a
file as a plugin. Nothing else is loaded by name: what a run or network names is asked for.
"""

from typing import Any

from thalweg.plugins.building import build_with, is_config
from thalweg.plugins.catalogue import Registry
from thalweg.plugins.loading import load
from thalweg.plugins.plugin_file import PluginFile
from thalweg.plugins.process import block, files, register, registry, use_file
from thalweg.plugins.records import KINDS, Component, Fault, LoadedPlugin, Origin

__all__ = [
    "KINDS",
    "Component",
    "Fault",
    "LoadedPlugin",
    "Origin",
    "PluginFile",
    "Registry",
    "block",
    "build_component",
    "files",
    "is_config",
    "load",
    "register",
    "registry",
    "use_file",
]


def build_component(config: Any, *arguments: Any) -> Any:
    """Build a component from its config; a part that is built already is returned as it is.

    Args:
        config: of the component, or the component.
        *arguments: what its kind is built from: facts, the run directory, or nothing.

    Raises:
        PluginError: its ``build`` raised what is no :class:`thalweg.ThalwegError`, or returned nothing;
            the message names component, distribution and module.
    """
    return build_with(registry(), config, *arguments)
