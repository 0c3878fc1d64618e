"""The registry: which components there are, and who brought them."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from thalweg.errors import PluginError
from thalweg.plugins.hooks import Hooks
from thalweg.plugins.records import KINDS, Component, Fault, LoadedPlugin, Origin
from thalweg.plugins.resolving import resolve
from thalweg.suggestions import article, did_you_mean, known_words


class Registry:
    """The components of all plugins, and what went wrong with the others.

    Attributes:
        plugins: those that loaded, built-in first.
        faults: what is wrong with which plugin.
        hook: calls an observer hook of every plugin.
        brought: what is known to have brought components that are not here, by ``"kind name"``, as
            :func:`thalweg.plugins.recording.note_files` found it in what was read.
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
        self.brought: dict[str, str] = {}
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

    def component(self, kind: str, name: str) -> Component | None:
        """What is registered under a name; None if nothing is."""
        return self._components.get((kind, name))

    def add(self, components: Iterable[Component], plugin: LoadedPlugin | None = None) -> None:
        """Take over components that came after loading; one of the same kind and name is replaced.

        Args:
            components: all of them checked.
            plugin: that brought them, if one did, with its hooks.
        """
        for one in components:
            self._components[one.kind, one.name] = one
            self._classes.pop((one.kind, one.name), None)
        if plugin is not None:
            self.plugins = (*self.plugins, plugin)
            self.hook.add(plugin)

    def is_loaded_as(self, component: Component, config_cls: type) -> bool:
        """Whether this class is what a component's lazy string was resolved to."""
        return self._classes.get((component.kind, component.name)) is config_cls

    def is_config_of(self, component: Component, config_cls: type) -> bool:
        """Whether a component is registered with this class, be it imported by now or not."""
        target = f"{config_cls.__module__}:{config_cls.__qualname__}"
        return component.config in (config_cls, target) or self.is_loaded_as(component, config_cls)

    def name_of(self, kind: str, config_cls: type) -> str:
        """The name under which a config class is registered.

        Raises:
            PluginError: it is registered under none.
        """
        name = self.known_as(kind, config_cls)
        if name is None:
            raise PluginError(
                f"{config_cls.__qualname__} of {config_cls.__module__} is not registered as {article(kind)};"
                " register it by thalweg.register, or in the plugin's thalweg_components"
            )
        return name

    def known_as(self, kind: str, config_cls: type) -> str | None:
        """The name under which a config class is registered; None if it is under none."""
        names = self.names(kind)
        for name in names:
            if self.is_config_of(self._components[kind, name], config_cls):
                return name
        # A lazy string may name the class by another way than its home module, though not than its package.
        package = config_cls.__module__.partition(".")[0]
        for name in names:
            config = self._components[kind, name].config
            if isinstance(config, str) and config.partition(":")[0].partition(".")[0] == package:
                with suppress(PluginError):
                    if self.config_class(kind, name) is config_cls:
                        return name
        return None

    def unknown(self, kind: str, name: str) -> str:
        """Why there is no such component, with the nearest name and the plugins that did not load."""
        names = self.names(kind)
        message = f"unknown {kind} '{name}'{did_you_mean(name, names)}{known_words(names)}"
        file = self.brought.get(f"{kind} {name}")
        if file is not None:
            return f"{message}; it came from the plugin file {file}"
        faults = "; ".join(str(fault) for fault in self.faults)
        return f"{message}; it may be missing because {faults}" if faults else message

    def report(self, fault: Fault) -> None:
        """Record a fault that showed only after loading, and warn of it."""
        self.faults.append(fault)
        logging.getLogger("thalweg").warning("%s", fault)

    def _find(self, kind: str, name: str) -> Component:
        if name not in self.names(kind):
            raise PluginError(self.unknown(kind, name))
        return self._components[kind, name]
