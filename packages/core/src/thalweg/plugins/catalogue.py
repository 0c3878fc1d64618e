"""The registry: which components there are, and who brought them."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import attrs
import pluggy

from thalweg.errors import PluginError, ThalwegError
from thalweg.plugins.resolving import resolve
from thalweg.suggestions import article, did_you_mean, known_words, one_line

KINDS = (
    "backbone",
    "refiner",
    "objective",
    "time_sampler",
    "sampler",
    "guidance",
    "dataset",
    "metric",
    "extractor",
    "importer",
    "logger",
    "autoencoder",
    "text_encoder",
)
"""Everything that can be registered, in the order of ``thalweg plugins list``."""


@attrs.frozen
class Origin:
    """Who brought a plugin or component.

    Attributes:
        plugin: name of the entry point.
        distribution: the installed distribution, as pip knows it.
        version: its version.
        module: the module of the config class, or of the plugin itself.
    """

    plugin: str
    distribution: str
    version: str
    module: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


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
        plugin: name of the entry point.
        distribution: the distribution that offers it; ``unknown`` where nobody does.
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
        return f"plugin '{self.plugin}' of {self.distribution} {self.version} {self.reason}"


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


class Hooks:
    """``hooks.thalweg_step_finished(step=..., numbers=...)``: the observers of every plugin, in load order.

    An observer that raises is reported, and left alone from then on, so that it costs the run nothing.
    A :class:`ThalwegError` goes through: so a plugin may end a run.
    """

    def __init__(self, plugins: Iterable[LoadedPlugin], report: Callable[[Fault], None]) -> None:
        self._plugins = list(plugins)
        self._report = report

    def __getattr__(self, hook: str) -> Callable[..., None]:
        if not hook.startswith("thalweg_"):
            raise AttributeError(hook)
        return partial(self._call, hook)

    def _call(self, hook: str, **arguments: Any) -> None:
        for plugin in list(self._plugins):
            try:
                plugin.call(hook, **arguments)
            except ThalwegError:
                raise
            except Exception as error:
                self._plugins.remove(plugin)
                origin = plugin.origin
                reason = f"failed in {hook} and is left out of the rest of the run: {one_line(error)}"
                self._report(Fault(origin.plugin, origin.distribution, origin.version, reason))


class Registry:
    """The components of all plugins, and what went wrong with the others.

    Attributes:
        plugins: those that loaded, built-in first.
        faults: what is wrong with which plugin.
        hook: calls an observer hook of every plugin.
    """

    def __init__(
        self,
        plugins: Sequence[LoadedPlugin] = (),
        components: Iterable[Component] = (),
        faults: Iterable[Fault] = (),
    ) -> None:
        self.plugins = tuple(plugins)
        self.faults = list(faults)
        self.hook = Hooks(plugins, self.report)
        self._components = {(one.kind, one.name): one for one in components}
        self._classes: dict[tuple[str, str], type[Any]] = {}

    def __iter__(self) -> Iterator[Component]:
        """All components, by kind and name."""
        return iter(sorted(self._components.values(), key=lambda one: (KINDS.index(one.kind), one.name)))

    def names(self, kind: str) -> list[str]:
        """The registered names of a kind, sorted.

        Raises:
            PluginError: there is no such kind.
        """
        if kind not in KINDS:
            raise PluginError(f"unknown kind '{kind}'{did_you_mean(kind, KINDS) or known_words(KINDS)}")
        return sorted(name for its_kind, name in self._components if its_kind == kind)

    def config_class(self, kind: str, name: str) -> type[Any]:
        """The config class of a component, imported at the first call.

        Raises:
            PluginError: it is unknown, cannot be imported, or is no frozen attrs class with ``build``.
        """
        key = (kind, name)
        if key not in self._classes:
            self._classes[key] = resolve(str(component := self._find(kind, name)), component.config)
        return self._classes[key]

    def origin(self, kind: str, name: str) -> Origin:
        """Who brought a component.

        Raises:
            PluginError: it is unknown.
        """
        return self._find(kind, name).origin

    def name_of(self, kind: str, config_cls: type) -> str:
        """The name under which a config class is registered.

        Raises:
            PluginError: it is registered under none.
        """
        target = f"{config_cls.__module__}:{config_cls.__qualname__}"
        names = self.names(kind)
        for name in names:
            if self._components[kind, name].config in (config_cls, target):
                return name
        # A lazy string may name the class by another way than its home module.
        for name in names:
            if self.config_class(kind, name) is config_cls:
                return name
        raise PluginError(
            f"{config_cls.__qualname__} of {config_cls.__module__} is not registered as {article(kind)};"
            " register it in the plugin's thalweg_components"
        )

    def unknown(self, kind: str, name: str) -> str:
        """Why there is no such component, with the nearest name and the plugins that did not load."""
        names = self.names(kind)
        message = f"unknown {kind} '{name}'{did_you_mean(name, names)}{known_words(names)}"
        faults = "; ".join(str(fault) for fault in self.faults)
        return f"{message}; it may be missing because {faults}" if faults else message

    def report(self, fault: Fault) -> None:
        """Record a fault that showed only after loading, and warn of it."""
        self.faults.append(fault)
        logging.getLogger("thalweg").warning("warning: %s", fault)

    def _find(self, kind: str, name: str) -> Component:
        if name not in self.names(kind):
            raise PluginError(self.unknown(kind, name))
        return self._components[kind, name]
