"""The tolerant loader: every plugin by itself, and its faults recorded.

What one plugin registers is taken over only when its hook has come to its end, so a hook that raises
leaves nothing behind. Of a plugin with one clashing or misspelt component, only that one is refused.
"""

import importlib
import re
from collections.abc import Collection
from operator import attrgetter
from typing import Any

import pluggy

from thalweg import hookspecs
from thalweg.plugins.catalogue import Registry
from thalweg.plugins.offers import CORE, Offer, offers
from thalweg.plugins.records import KINDS, Component, Fault, LoadedPlugin, Origin
from thalweg.suggestions import article, did_you_mean, known_words, one_line

_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


Registration = tuple[Any, Any, Any]
"""Kind, name and config, as they were registered; nothing is known of them."""


class NotLoadedError(Exception):
    """Why a plugin is not loaded."""


class _Manager(pluggy.PluginManager):
    """Finds the hooks of a module, one module at a time."""

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        """As pluggy does, but for what every module has: hundreds of plugins load twice as fast."""
        return None if name.startswith("__") else super().parse_hookimpl_opts(plugin, name)


def load(allowed: Collection[str] | None = None, blocked: Collection[str] = ()) -> Registry:
    """Load the plugins of all installed distributions.

    Args:
        allowed: entry-point names to load beside ``core``; None for all.
        blocked: entry-point names to leave out.
    """
    on_offer, faults = offers()
    loader = _Loader(faults)
    for offer in on_offer:
        if offer.distribution == CORE and offer.plugin in blocked:
            faults.append(offer.fault("is blocked, but always loads: nothing works without it"))
        reason = _left_out(offer, allowed, blocked)
        if reason:
            faults.append(offer.fault(reason, deliberate=True))
        else:
            loader.take(offer)
    names = {offer.plugin for offer in on_offer}
    for name in sorted({*(allowed or ()), *blocked} - names):
        said = "blocked" if name in blocked else "named by THALWEG_PLUGINS"
        hint = did_you_mean(name, names)
        faults.append(Fault(name, "", "", f"is {said}, but not installed{hint}"))
    return Registry(loader.plugins, loader.components.values(), faults)


def _left_out(offer: Offer, allowed: Collection[str] | None, blocked: Collection[str]) -> str:
    if offer.distribution == CORE:
        return ""
    if offer.plugin in blocked:
        return f"is blocked by 'no:{offer.plugin}'"
    if allowed is not None and offer.plugin not in allowed:
        return "is not among those that THALWEG_PLUGINS allows"
    return ""


class _Loader:
    def __init__(self, faults: list[Fault]) -> None:
        self.plugins: list[LoadedPlugin] = []
        self.components: dict[tuple[str, str], Component] = {}
        self._faults = faults
        self._reader = Reader()

    def take(self, offer: Offer) -> None:
        """Load one plugin and take over its components, or record why not."""
        try:
            self._refuse_namesakes(offer)
            plugin, registrations = self._reader.read(offer, _imported(offer))
        except NotLoadedError as refusal:
            self._faults.append(offer.fault(f"{refusal} (module {offer.reference.module})"))
            return
        # What a stranger's module holds may raise wherever it is looked at.
        except Exception as error:
            self._faults.append(offer.fault(f"cannot be loaded: {one_line(error)}"))
            return
        self.plugins.append(plugin)
        for kind, name, config in registrations:
            try:
                problem = self._register(offer, kind, name, config)
            except Exception as error:
                problem = f"registers what cannot be looked at: {one_line(error)}"
            if problem:
                self._faults.append(offer.fault(problem))

    def _refuse_namesakes(self, offer: Offer) -> None:
        for other in self.plugins:
            if other.origin.plugin == offer.plugin:
                raise NotLoadedError(f"has the same name as the plugin of {other.origin}, which stays")

    def _register(self, offer: Offer, kind: Any, name: Any, config: Any) -> str:
        """Take one component over, or say what is wrong with it."""
        problem = problem_of(kind, name, config)
        if problem:
            return problem
        if (kind, name) in self.components:
            first = self.components[kind, name].origin
            return (
                f"registers {kind} '{name}', which {first} has registered before and keeps; choose another"
                f" name in {offer.reference.module}"
            )
        self.components[kind, name] = component_of(offer, kind, name, config)
        return ""


class Reader:
    """Reads what modules implement of the hooks, one module at a time."""

    def __init__(self) -> None:
        self._manager = _Manager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._owners: dict[int, Offer] = {}

    def read(
        self, offer: Offer, module: Any, *, needed: bool = True
    ) -> tuple[LoadedPlugin, list[Registration]]:
        """A module's hooks, and what it registers by them.

        Args:
            offer: names the plugin.
            module: imported.
            needed: whether it must implement a hook.

        Raises:
            NotLoadedError: it is no plugin of this version of the contract.
        """
        _check_version(module)
        origin = Origin(offer.plugin, offer.distribution, offer.version, offer.reference.module)
        plugin = LoadedPlugin(origin, self._hooks(offer, module, needed))
        registrations: list[Registration] = []
        _guarded(
            "failed in thalweg_components",
            lambda: plugin.call(
                "thalweg_components",
                register=lambda kind, name, config: registrations.append((kind, name, config)),
            ),
        )
        return plugin, registrations

    def _hooks(self, offer: Offer, module: Any, needed: bool) -> dict[str, pluggy.HookImpl]:
        """Let pluggy check and find the plugin's hooks."""
        first = self._owners.setdefault(id(module), offer)
        if first is not offer:
            raise NotLoadedError(
                f"is the same as the plugin '{first.plugin}' of {first.distribution}, which stays"
            )
        key, manager = f"{offer.distribution}:{offer.plugin}", self._manager
        try:
            _guarded("cannot be registered", lambda: manager.register(module, key))
            hooks = {
                caller.name: next(one for one in reversed(caller.get_hookimpls()) if one.plugin is module)
                for caller in manager.get_hookcallers(module) or ()
            }
            _check_hooks(hooks, needed)
        finally:
            # pluggy's lists are searched with every plugin, so that none may stay in them.
            if manager.has_plugin(key):
                manager.unregister(name=key)
        return hooks


def problem_of(kind: Any, name: Any, config: Any) -> str:
    """What is wrong with a registration, whatever else is registered; empty if nothing is."""
    if kind not in KINDS:
        return f"registers {name!r} as {kind!r}, which is no kind of component{_near(kind)}"
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name == "none":
        return f"registers {article(kind)} under {name!r}, which is no name: letters, digits and _ . + - are"
    if not isinstance(config, type) and not (isinstance(config, str) and _TARGET.fullmatch(config)):
        return f"registers {kind} '{name}' with {config!r}, which is neither a class nor 'module:Class'"
    return ""


def component_of(offer: Offer, kind: str, name: str, config: str | type) -> Component:
    """What was registered, as a record that says by whom."""
    module = config.partition(":")[0] if isinstance(config, str) else config.__module__
    return Component(kind, name, config, Origin(offer.plugin, offer.distribution, offer.version, module))


def _check_version(module: Any) -> None:
    version = getattr(module, "api_version", hookspecs.API_VERSION)
    if type(version) is not int:
        raise NotLoadedError(f"states api_version {version!r}, which is no integer")
    if version > hookspecs.API_VERSION:
        raise NotLoadedError(
            f"was written for version {version} of the plugin interface, this Thalweg speaks version"
            f" {hookspecs.API_VERSION}: upgrade thalweg-core"
        )
    if version < 1:
        raise NotLoadedError(f"states api_version {version}, and the first version is 1")


def _imported(offer: Offer) -> Any:
    module, attribute = offer.reference.module, offer.reference.attribute
    try:
        found = importlib.import_module(module)
        return attrgetter(attribute)(found) if attribute else found
    except KeyboardInterrupt:
        raise
    # Whatever it is, SystemExit too: a plugin that ends the process is as broken as any.
    except BaseException as error:
        reason = f"cannot be imported: {one_line(error)}"
        named = isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")
        if named or isinstance(error, AttributeError):
            reason += (
                f"; its entry point names '{offer.value}', correct it under"
                f" [project.entry-points.thalweg] of {offer.distribution} and install that again"
            )
        raise NotLoadedError(reason) from error


def _check_hooks(hooks: dict[str, pluggy.HookImpl], needed: bool) -> None:
    known = [name for name in vars(hookspecs) if name.startswith("thalweg_")]
    for name, implementation in hooks.items():
        if name not in known and not implementation.optionalhook:
            raise NotLoadedError(
                f"implements '{name}', which is no hook{did_you_mean(name, known) or known_words(known)}"
            )
        if implementation.wrapper or implementation.hookwrapper:
            raise NotLoadedError(f"wraps {name}; hooks of Thalweg cannot be wrapped")
    if needed and not hooks:
        raise NotLoadedError("implements no hook; decorate its functions with @thalweg.hookimpl")


def _near(kind: Any) -> str:
    return (did_you_mean(kind, KINDS) if isinstance(kind, str) else "") or known_words(KINDS)


def _guarded(what: str, function: Any) -> Any:
    # Whatever it is, SystemExit too: a plugin that ends the process is as broken as any.
    try:
        return function()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise NotLoadedError(f"{what}: {one_line(error)}") from error
