"""The nouns of plugins: components, where they come from, and what is wrong."""

from collections.abc import Mapping
from typing import Any

import attrs
import pluggy

KINDS = (
    "backbone",
    "refiner",
    "objective",
    "planner",
    "time_sampler",
    "interpolant",
    "optimizer",
    "schedule",
    "average",
    "sampler",
    "guidance",
    "dataset",
    "source",
    "metric",
    "extractor",
    "importer",
    "logger",
    "autoencoder",
    "text_encoder",
    "teacher",
)
"""Everything that can be registered, in the order of ``thalweg plugins list``."""

UNINFORMED = ("dataset", "source", "autoencoder", "text_encoder")
"""Kinds whose ``build`` takes nothing: they state the facts, or do without. An importer's is given None in
their place, and a logger's the run directory."""


@attrs.frozen
class Origin:
    """Who brought a plugin or component.

    Attributes:
        plugin: name of the entry point; of a file, its name.
        distribution: the installed distribution, as pip knows it; of a file, its name; of what Python code
            registered by itself, the module of its class.
        version: of the distribution; of a file, the beginning of its SHA-256.
        module: the module of the config class, or of the plugin itself.
    """

    plugin: str
    distribution: str
    version: str
    module: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}".strip()


@attrs.frozen
class Component:
    """One registered component.

    Attributes:
        kind: one of :data:`KINDS`.
        name: what users write as its type.
        config: its config class, or where that is: ``"module:Class"``.
        origin: who brought it.
    """

    kind: str
    name: str
    config: str | type
    origin: Origin

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}' of {self.origin}"


@attrs.frozen
class Fault:
    """What is wrong with a plugin, or with one of its components.

    Attributes:
        plugin: name of the entry point; empty where a whole distribution is meant.
        distribution: the distribution that offers it; empty where none does.
        version: its version.
        reason: what is wrong, to be read after "plugin 'x' of y 1.0".
        deliberate: it was left out because the user said so.
    """

    plugin: str
    distribution: str
    version: str
    reason: str
    deliberate: bool = False

    def __str__(self) -> str:
        named = f"{self.distribution} {self.version}".strip()
        if not self.plugin:
            return f"distribution {named or '?'} {self.reason}"
        return f"plugin '{self.plugin}'{f' of {named}' if self.distribution else ''} {self.reason}"


@attrs.frozen
class LoadedPlugin:
    """A plugin that loaded, with the hooks it implements."""

    origin: Origin
    hooks: Mapping[str, pluggy.HookImpl]

    def call(self, hook: str, **arguments: Any) -> None:
        """Call its hook, if it implements it, with the arguments that it asks for."""
        if hook in self.hooks:
            implementation = self.hooks[hook]
            implementation.function(*(arguments[name] for name in implementation.argnames))
