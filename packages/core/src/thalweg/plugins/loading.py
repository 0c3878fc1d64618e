"""The tolerant loader: every plugin by itself, be it installed or a file, and its faults recorded.

What one plugin registers is taken over only when its hook has come to its end, so a hook that raises
leaves nothing behind. Of a plugin with one clashing or misspelt component, only that one is refused.
"""

import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import pluggy

from thalweg import hookspecs
from thalweg.errors import ConfigError
from thalweg.plugins.catalogue import KINDS, Component, Fault, LoadedPlugin, Registry, target_of
from thalweg.plugins.distributions import CORE, Offer, offers
from thalweg.regular import read_bytes
from thalweg.suggestions import article, did_you_mean, known_words, one_line

_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_LARGEST = 16 * 2**20  # bytes of a plugin file
_PREFIX = "thalweg_file_"
_SHOWN = 12  # digits of a SHA-256

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
    found, reader = Registry(faults=faults), Reader()
    for offer in on_offer:
        if offer.distribution == CORE and offer.plugin in blocked:
            found.faults.append(offer.fault("is blocked, but always loads: nothing works without it"))
        reason = _left_out(offer, allowed, blocked)
        if reason:
            found.faults.append(offer.fault(reason, deliberate=True))
        else:
            _take(offer, reader, found)
    names = {offer.plugin for offer in on_offer}
    for name in sorted({*(allowed or ()), *blocked} - names):
        reason = "blocked" if name in blocked else "named by THALWEG_PLUGINS"
        hint = did_you_mean(name, names)
        found.faults.append(Fault(name, "", "", f"is {reason}, but not installed{hint}"))
    return found


def _left_out(offer: Offer, allowed: Collection[str] | None, blocked: Collection[str]) -> str:
    if offer.distribution == CORE:
        return ""
    if offer.plugin in blocked:
        return f"is blocked by 'no:{offer.plugin}'"
    if allowed is not None and offer.plugin not in allowed:
        return "is not among those that THALWEG_PLUGINS allows"
    return ""


def _take(offer: Offer, reader: "Reader", there: Registry) -> None:
    """Load one plugin and take over its components, or record why not."""
    try:
        for other in there.plugins:
            if other.origin.plugin == offer.plugin:
                raise NotLoadedError(f"has the same name as the plugin of {other.origin}, which stays")
        plugin, registrations = reader.read(offer, _imported(offer))
    except NotLoadedError as refusal:
        there.faults.append(offer.fault(f"{refusal} (module {offer.module})"))
        return
    # What a third-party module holds may raise wherever it is looked at.
    except Exception as error:
        there.faults.append(offer.fault(f"cannot be loaded: {one_line(error)}"))
        return
    there.add((), plugin)
    for registration in registrations:
        try:
            problem = problem_of(*registration)
            if not problem:
                component = component_of(offer, *registration)
                first = taken(there, component)
                problem = f"{first} in {offer.module}" if first else ""
        except Exception as error:
            problem = f"registers what cannot be looked at: {one_line(error)}"
        if problem:
            there.faults.append(offer.fault(problem))
        else:
            there.add([component])


class Reader:
    """Reads what modules implement of the hooks, one module at a time."""

    def __init__(self) -> None:
        self._manager = _Manager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._owners: dict[int, Offer] = {}

    def read(
        self, offer: Offer, module: Any, *, needed: bool = True
    ) -> tuple[LoadedPlugin, list[Registration]]:
        """The hooks of a module, which must implement one if it is needed, and what it registers by them.

        Raises:
            NotLoadedError: it is no plugin of this version of the contract.
        """
        _check_version(module)
        plugin = LoadedPlugin(offer.origin(), self._hooks(offer, module, needed))
        registrations: list[Registration] = []

        def register(kind: Any, name: Any, config: Any) -> None:
            registrations.append((kind, name, config))

        with _guarded("failed in thalweg_components"):
            plugin.call("thalweg_components", register=register)
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
            with _guarded("cannot be registered"):
                manager.register(module, key)
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
        near = (did_you_mean(kind, KINDS) if isinstance(kind, str) else "") or known_words(KINDS)
        return f"registers {name!r} as {kind!r}, which is no kind of component{near}"
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name == "none":
        return f"registers {article(kind)} under {name!r}, which is no name: letters, digits and _ . + - are"
    if not isinstance(config, type) and not (isinstance(config, str) and _TARGET.fullmatch(config)):
        return f"registers {kind} '{name}' with {config!r}, which is neither a class nor 'module:Class'"
    return ""


def component_of(offer: Offer, kind: str, name: str, config: str | type) -> Component:
    """What was registered, as a record that says by whom."""
    return Component(kind, name, config, offer.origin(target_of(config).partition(":")[0]))


def taken(there: Registry, component: Component) -> str:
    """Why a component cannot have its name; empty if it can."""
    first = there.component(component.kind, component.name)
    if first is None or _is_again(first, component):
        return ""
    return (
        f"registers {component.kind} '{component.name}', which {first.origin} has registered before and "
        "keeps; choose another name"
    )


def _is_again(first: Component, component: Component) -> bool:
    """Whether Python code has defined the same class once more, as a cell does that is run again."""
    by_hand = first.origin == component.origin and first.origin.distribution == first.origin.module
    return by_hand and target_of(first.config) == target_of(component.config)


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
    def misnamed(error: BaseException) -> str:
        missing = isinstance(error, ModuleNotFoundError) and f"{offer.module}.".startswith(f"{error.name}.")
        if not missing and not isinstance(error, AttributeError):
            return ""
        return (
            f"; its entry point names '{offer.value}', correct it under"
            f" [project.entry-points.thalweg] of {offer.distribution} and install that again"
        )

    with _guarded("cannot be imported", misnamed):
        found = importlib.import_module(offer.module)
        return attrgetter(offer.attribute)(found) if offer.attribute else found


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


@contextmanager
def _guarded(what: str, hint: Callable[[BaseException], str] = lambda _: "") -> Iterator[None]:
    # Whatever it is, SystemExit too: a plugin that ends the process is as broken as any.
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise NotLoadedError(f"{what}: {one_line(error)}{hint(error)}") from error


@attrs.frozen
class PluginFile:
    """A file that was named by ``-p`` or :func:`thalweg.use_file`.

    Attributes:
        path: where it is, resolved.
        sha256: of what was loaded.
        module: under which it is imported: none that a statement ``import`` would find.
    """

    path: Path
    sha256: str
    module: str

    @property
    def name(self) -> str:
        """By which it is recorded: no folder of this machine is."""
        return self.path.name

    @property
    def offer(self) -> Offer:
        """What messages and lists call it."""
        return Offer(self.name, self.name, self.sha256[:_SHOWN], self.module, self.module)


def read_file(path: Path) -> tuple[PluginFile, bytes]:
    """A file and what is in it.

    Raises:
        ConfigError: it is not there, cannot be read, or is not called ``*.py``.
    """
    if path.suffix != ".py" or not path.stem:
        raise ConfigError(
            f"the plugin file {path} is not called *.py; name a file of Python (or no:NAME to leave a "
            "plugin out)"
        )
    try:
        content = read_bytes(path, _LARGEST)
    except OSError as error:
        cure = "name one that is there" if isinstance(error, FileNotFoundError) else "name a file of Python"
        raise ConfigError(
            f"the plugin file {path} cannot be read: {error.strerror or error}; {cure}"
        ) from error
    module = _PREFIX + "".join(one if one.isalnum() else "_" for one in path.stem)
    return PluginFile(path.resolve(), hashlib.sha256(content).hexdigest(), module), content


def import_file(file: PluginFile, content: bytes) -> ModuleType:
    """Run the file as a module, which stays among ``sys.modules`` even where this fails.

    Raises:
        NotLoadedError: it raises as it is run.
    """
    spec = importlib.util.spec_from_file_location(file.module, file.path)
    if spec is None:
        raise NotLoadedError("cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.module] = module

    def where(error: BaseException) -> str:
        line, trace = "", error.__traceback__
        while trace is not None and not isinstance(error, SyntaxError):  # which says it itself
            if trace.tb_frame.f_code.co_filename == str(file.path):
                line = f" (line {trace.tb_lineno})"
            trace = trace.tb_next
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and (file.path.parent / f"{missing}.py").is_file():
            line += f"; a plugin file stands alone, so put what it needs of {missing}.py into it"
        return line

    with _guarded("cannot be imported", where):
        # What was hashed is what runs, though the file may change this moment.
        exec(compile(content, str(file.path), "exec", dont_inherit=True), vars(module))  # noqa: S102
    return module
