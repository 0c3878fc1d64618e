"""The registry: which components there are, who brought them, and what is wrong with the others."""

import importlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from operator import attrgetter
from typing import Any

import attrs
import pluggy

from thalweg.errors import PluginError
from thalweg.suggestions import did_you_mean, known_words, one_line

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
    "importer",
    "exporter",
    "logger",
    "autoencoder",
    "text_encoder",
    "vision_encoder",
)
"""Everything that can be registered, in the order of ``thalweg plugins list``."""

UNINFORMED = ("dataset", "source", "autoencoder", "text_encoder")
"""Kinds whose ``build`` takes nothing: they state the facts, or do without."""

FACTLESS = ("importer", "exporter")
"""Kinds whose ``build`` is given None in place of facts, as they are of no data set. A logger's is given the
run directory."""


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

    def fault(self, reason: str, *, deliberate: bool = False) -> "Fault":
        """A fault of this plugin, or of what it brought."""
        return Fault(self.plugin, self.distribution, self.version, reason, deliberate)


@attrs.frozen
class Component:
    """One registered component.

    Attributes:
        name: what users write as its type.
        config: its config class, or where that is: ``"module:Class"``.
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
        reason: what is wrong, to be read after "plugin 'x' of y 1.0".
        deliberate: it was left out because the user stated so.
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
        """Call its hook, if it implements it, with the arguments that it takes."""
        if hook in self.hooks:
            implementation = self.hooks[hook]
            implementation.function(*(arguments[name] for name in implementation.argnames))


class Hooks:
    """``hooks.thalweg_step_finished(step=..., ...)``: the observers of every plugin, in load order.

    An observer that raises, whatever it raises, is reported and left alone from then on: it costs the run
    nothing. Only Ctrl-C goes through.
    """

    def __init__(self, plugins: Iterable[LoadedPlugin], report: Callable[[Fault], None]) -> None:
        self._plugins = list(plugins)
        self._report = report

    def add(self, plugin: LoadedPlugin) -> None:
        """Call the observers of one more plugin, after all others."""
        self._plugins.append(plugin)

    def __getattr__(self, hook: str) -> Callable[..., None]:
        if not hook.startswith("thalweg_"):
            raise AttributeError(hook)
        return partial(self._call, hook)

    def _call(self, hook: str, **arguments: Any) -> None:
        for plugin in list(self._plugins):
            try:
                plugin.call(hook, **arguments)
            # SystemExit too: an observer may not end the process.
            except (Exception, SystemExit) as error:
                self._plugins.remove(plugin)
                reason = f"failed in {hook} and is left out from now on: {one_line(error)}"
                self._report(plugin.origin.fault(reason))


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
            component = self._find(kind, name)
            found = _imported(component) if isinstance(component.config, str) else component.config
            problem = problem_of_class(found)
            if problem:
                raise PluginError(f"{component} cannot be used: its config {component.config} {problem}")
            self._classes[key] = found
        return self._classes[key]

    def origin(self, kind: str, name: str) -> Origin:
        """Who brought a component, which must be known."""
        return self._find(kind, name).origin

    def component(self, kind: str, name: str) -> Component | None:
        """What is registered under a name; None if nothing is."""
        return self._components.get((kind, name))

    def add(self, components: Iterable[Component], plugin: LoadedPlugin | None = None) -> None:
        """Take over components, all of them checked, and the hooks of the plugin that brought them.

        One of the same kind and name is replaced.
        """
        for one in components:
            self._components[one.kind, one.name] = one
            self._classes.pop((one.kind, one.name), None)
        if plugin is not None:
            self.plugins = (*self.plugins, plugin)
            self.hook.add(plugin)

    def is_config_of(self, component: Component, config_cls: type) -> bool:
        """Whether a component is registered with this class, be it imported by now or not."""
        loaded = self._classes.get((component.kind, component.name))
        return component.config in (config_cls, target_of(config_cls)) or loaded is config_cls

    def name_of(self, kind: str, config_cls: type) -> str | None:
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


def target_of(config: str | type) -> str:
    """Where a config class is: ``"module:Class"``."""
    return config if isinstance(config, str) else f"{config.__module__}:{config.__qualname__}"


def is_config(part: Any) -> bool:
    """Whether what a slot holds is a config, which has ``build``, and no part that is built."""
    return callable(getattr(part, "build", None))


def problem_of_class(config: Any) -> str:
    """What keeps a class from being a config; empty if nothing does."""
    if not isinstance(config, type) or not attrs.has(config):
        return "is no attrs class"
    if not _is_frozen(config):
        return "is not frozen; decorate it with attrs.frozen"
    if not callable(getattr(config, "build", None)):
        return "has no method build"
    if any(field.alias == "type" for field in attrs.fields(config)):
        return "has a field 'type', the word that names the component itself"
    return ""


def _is_frozen(config: type) -> bool:
    # By behaviour, as what attrs says differs between its versions.
    try:
        object.__new__(config).__setattr__("any", None)
    except attrs.exceptions.FrozenInstanceError:
        return True
    except Exception:
        return False
    return False


def _imported(component: Component) -> Any:
    """The config class of a component that names where it is."""
    module, _, path = str(component.config).partition(":")
    try:
        return attrgetter(path)(importlib.import_module(module))
    # SystemExit too: a module that ends the process at import is as broken as any.
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{component} cannot be used: importing {component.config} failed: {one_line(error)}"
        ) from error
