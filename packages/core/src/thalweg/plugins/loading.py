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
from thalweg.plugins.deprecation import respelled
from thalweg.plugins.offers import CORE, Offer, offers
from thalweg.plugins.records import KINDS, Component, Fault, LoadedPlugin, Origin
from thalweg.suggestions import article, did_you_mean, known_words, one_line

_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


class _RefusedError(Exception):
    """Why a plugin is not loaded."""


class _Reader(pluggy.PluginManager):
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
    return Registry(loader.plugins, loader.components.values(), faults, loader.notices)


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
        self.notices: list[Fault] = []
        self._faults = faults
        self._reader = _Reader(hookspecs.PROJECT)
        self._reader.add_hookspecs(hookspecs)
        self._owners: dict[int, Offer] = {}

    def take(self, offer: Offer) -> None:
        """Load one plugin and take over its components, or record why not."""
        try:
            plugin = self._loaded(offer)
            registrations: list[tuple[Any, Any, Any]] = []
            _guarded(
                "failed in thalweg_components",
                lambda: plugin.call(
                    "thalweg_components",
                    register=lambda kind, name, config: registrations.append((kind, name, config)),
                ),
            )
        except _RefusedError as refusal:
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

    def _loaded(self, offer: Offer) -> LoadedPlugin:
        for other in self.plugins:
            if other.origin.plugin == offer.plugin:
                raise _RefusedError(f"has the same name as the plugin of {other.origin}, which stays")
        module = _imported(offer)
        version = getattr(module, "api_version", hookspecs.API_VERSION)
        if type(version) is not int:
            raise _RefusedError(f"states api_version {version!r}, which is no integer")
        if version > hookspecs.API_VERSION:
            raise _RefusedError(
                f"was written for version {version} of the plugin interface, this Thalweg speaks version"
                f" {hookspecs.API_VERSION}: upgrade thalweg-core"
            )
        if version < hookspecs.OLDEST_API_VERSION:
            raise _RefusedError(
                f"was written for version {version} of the plugin interface, this Thalweg speaks versions"
                f" {hookspecs.OLDEST_API_VERSION} to {hookspecs.API_VERSION}: upgrade {offer.distribution}"
            )
        origin = Origin(offer.plugin, offer.distribution, offer.version, offer.reference.module)
        implemented = self._hooks(offer, module)
        # Where warnings are errors, a deprecated hook refuses its plugin and not all of them.
        hooks, notices = _guarded("is refused", lambda: respelled(implemented, offer.fault("")))
        self.notices += notices
        return LoadedPlugin(origin, hooks)

    def _hooks(self, offer: Offer, module: Any) -> dict[str, pluggy.HookImpl]:
        """Let pluggy check and find the plugin's hooks."""
        first = self._owners.setdefault(id(module), offer)
        if first is not offer:
            raise _RefusedError(
                f"is the same as the plugin '{first.plugin}' of {first.distribution}, which stays"
            )
        key = f"{offer.distribution}:{offer.plugin}"
        try:
            _guarded("cannot be registered", lambda: self._reader.register(module, key))
            hooks = {
                caller.name: next(one for one in reversed(caller.get_hookimpls()) if one.plugin is module)
                for caller in self._reader.get_hookcallers(module) or ()
            }
            _check_hooks(hooks)
        finally:
            # pluggy's lists are searched with every plugin, so that none may stay in them.
            if self._reader.has_plugin(key):
                self._reader.unregister(name=key)
        return hooks

    def _register(self, offer: Offer, kind: Any, name: Any, config: Any) -> str:
        """Take one component over, or say what is wrong with it."""
        if kind not in KINDS:
            return f"registers {name!r} as {kind!r}, which is no kind of component{_near(kind)}"
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name == "none":
            return (
                f"registers {article(kind)} under {name!r}, which is no name: letters, digits and _ . + - are"
            )
        if not isinstance(config, type) and not (isinstance(config, str) and _TARGET.fullmatch(config)):
            return f"registers {kind} '{name}' with {config!r}, which is neither a class nor 'module:Class'"
        if (kind, name) in self.components:
            first = self.components[kind, name].origin
            return (
                f"registers {kind} '{name}', which {first} has registered before and keeps; choose another"
                f" name in {offer.reference.module}"
            )
        module = config.partition(":")[0] if isinstance(config, str) else config.__module__
        origin = Origin(offer.plugin, offer.distribution, offer.version, module)
        self.components[kind, name] = Component(kind, name, config, origin)
        return ""


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
        raise _RefusedError(reason) from error


def _check_hooks(hooks: dict[str, pluggy.HookImpl]) -> None:
    known = [name for name in vars(hookspecs) if name.startswith("thalweg_")]
    for name, implementation in hooks.items():
        if name not in known and not implementation.optionalhook:
            raise _RefusedError(
                f"implements '{name}', which is no hook{did_you_mean(name, known) or known_words(known)}"
            )
        if implementation.wrapper or implementation.hookwrapper:
            raise _RefusedError(f"wraps {name}; hooks of Thalweg cannot be wrapped")
    if not hooks:
        raise _RefusedError("implements no hook; decorate its functions with @thalweg.hookimpl")


def _near(kind: Any) -> str:
    return (did_you_mean(kind, KINDS) if isinstance(kind, str) else "") or known_words(KINDS)


def _guarded(what: str, function: Any) -> Any:
    # Whatever it is, SystemExit too: a plugin that ends the process is as broken as any.
    try:
        return function()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _RefusedError(f"{what}: {one_line(error)}") from error
