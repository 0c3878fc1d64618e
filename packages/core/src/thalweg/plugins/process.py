"""The registry of this process: what is installed, what Python code registers, and files that were named."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, TypeVar, overload

import attrs

from thalweg.errors import ConfigError, PluginError, ThalwegError
from thalweg.plugins import loading
from thalweg.plugins.catalogue import (
    Component,
    LoadedPlugin,
    Registry,
    is_config,
    problem_of_class,
    target_of,
)
from thalweg.plugins.distributions import Offer
from thalweg.plugins.loading import NotLoadedError, PluginFile, Registration, component_of, problem_of, taken
from thalweg.suggestions import one_line

ALLOW_LIST = "THALWEG_PLUGINS"
FILES = "_THALWEG_FILES"
"""States to processes that this one starts which files to load, with the SHA-256 of each."""

_Config = TypeVar("_Config", bound=type | str)


class BrokenBuildError(PluginError):
    """A component's own ``build`` is at fault, and not what it was given or what is installed."""


@attrs.frozen(eq=False)
class _Loaded:
    """A file that is loaded; its module stays for as long as the process lives."""

    file: PluginFile
    module: ModuleType
    plugin: LoadedPlugin
    components: tuple[Component, ...]


class _Process:
    registry: Registry | None = None
    blocked: frozenset[str] = frozenset()
    loading = False
    registered: ClassVar[dict[tuple[str, str], Component]] = {}
    early: ClassVar[list[Registration]] = []
    files: ClassVar[dict[Path, _Loaded]] = {}
    known: ClassVar[dict[Path, _Loaded]] = {}
    collecting: list[Registration] | None = None
    entered: ClassVar[list[Path]] = []
    inherited = False


def registry() -> Registry:
    """The registry of this process, loaded at the first call.

    Raises:
        PluginError: a plugin requests it while it is being loaded itself; a file that this process is to
            load cannot be.
        ConfigError: such a file is gone, or has changed since.
    """
    if _Process.registry is None:
        if _Process.loading:
            raise PluginError("a plugin requests the registry while plugins are still being loaded")
        _Process.loading = True
        try:
            allowed = frozenset(filter(None, map(str.strip, os.environ.get(ALLOW_LIST, "").split(","))))
            found = loading.load(allowed or None, _Process.blocked)
        finally:
            _Process.loading = False
        _add_again(found)
        _Process.registry = found
    if not _Process.inherited:
        _Process.inherited = True
        try:
            _inherit()
        except BaseException:
            _Process.inherited = False
            raise
    return _Process.registry


def block(*names: str) -> None:
    """Leave exactly the plugins of these entry-point names out from now on; none lifts the block.

    A registry that was loaded before is loaded anew at the next :func:`registry`.
    """
    _Process.blocked = frozenset(names)
    _Process.registry = None


@overload
def register(kind: str, name: str, config: _Config) -> _Config: ...


@overload
def register(kind: str, name: str) -> Callable[[_Config], _Config]: ...


def register(kind: str, name: str, config: Any = None) -> Any:
    """Register a component from a script, a notebook or a file; as a decorator if no config is given.

    ``@thalweg.register("refiner", "mine")`` stands above ``@attrs.frozen``. The same class, defined once
    more by a notebook's cell that is run again, takes its own place.

    Args:
        kind: one of :data:`thalweg.plugins.KINDS`.
        name: what users write as its type.
        config: a frozen attrs class with ``build``, or ``"module:Class"``.

    Returns:
        The config, so that the class keeps its name.

    Raises:
        PluginError: there is no such kind, the name is none or taken, or the class is no config.
    """
    if config is None:
        return lambda decorated: register(kind, name, decorated)
    problem = problem_of(kind, name, config) or _problem_of_config(kind, name, config)
    if problem:
        raise PluginError(f"thalweg.register {problem}")
    registration = (kind, name, config)
    if _Process.collecting is not None:
        _Process.collecting.append(registration)
    elif _Process.loading:
        # A plugin's module that registers as it is imported: whose the name is shows when all are loaded.
        _Process.early.append(registration)
    else:
        component = component_of(_in_python(config), *registration)
        known = registry()
        problem = taken(known, component)
        if problem:
            raise PluginError(f"thalweg.register {problem}")
        _Process.registered[kind, name] = component
        known.add([component])
    return config


def build_component(config: Any, *arguments: Any) -> Any:
    """Build a component from its config; a part that is built already is returned as it is.

    Args:
        config: of the component, or the component.
        *arguments: what its kind is built from: facts, the run directory, or nothing.

    Raises:
        BrokenBuildError: its ``build`` raised what is no :class:`thalweg.ThalwegError`, or returned nothing;
            the message names component, distribution and module.
    """
    if not is_config(config):
        return config
    try:
        built = config.build(*arguments)
    except ThalwegError:
        raise
    except Exception as error:
        raise _broken(config, f"raises {one_line(error)}; fix") from error
    if built is None:
        raise _broken(config, "returns None; return the component from")
    return built


def _broken(config: Any, how: str) -> BrokenBuildError:
    cls, known = type(config), registry()
    unnamed = f"{cls.__qualname__} of {cls.__module__}"
    what = next((str(one) for one in known if known.is_config_of(one, cls)), unnamed)
    place = f"{cls.__qualname__}.build in {cls.__module__}"
    return BrokenBuildError(f"{what} cannot be built: its build {how} {place}")


def use_file(path: Path | str) -> ModuleType:
    """Load a file of Python as a plugin, for this process and all that it starts; ``-p`` does the same.

    What it registers, by :func:`register` or by hooks, is there afterwards. A run, a saved network or a
    passport that uses a component of it records the file's name and SHA-256.

    Args:
        path: of the file. One that is loaded already is not loaded again.

    Returns:
        Its module.

    Raises:
        ConfigError: it is not there, or has changed since it was loaded, or another of its name is loaded.
        PluginError: it raises, registers nothing, or a name that is taken; nothing of it stays.
    """
    if not isinstance(path, str | os.PathLike):
        raise ConfigError(f"use_file takes the path of a file of Python, got {type(path).__name__}")
    if "://" in str(path):
        # It may hold credentials, which paths do not.
        from thalweg.storage.places import local_path

        path = local_path(path, "the plugin file", "read what it does, and keep a copy here")
    return _use(Path(path), None)


def files() -> tuple[PluginFile, ...]:
    """The files that are loaded, in order."""
    registry()  # which may load some
    return tuple(one.file for one in _Process.files.values())


@contextmanager
def for_one_command() -> Iterator[None]:
    """Inside, files may be loaded and components registered; afterwards it is as if nothing had been."""
    before = dict(_Process.registered), dict(_Process.files), os.environ.get(FILES)
    try:
        yield
    finally:
        if (_Process.registered, _Process.files) != before[:2]:
            _Process.registered, _Process.files, _Process.registry = before[0], before[1], None
            if before[2] is None:
                os.environ.pop(FILES, None)
            else:
                os.environ[FILES] = before[2]


def _use(path: Path, expected: str | None) -> ModuleType:
    file, content = loading.read_file(path)
    if expected not in (None, file.sha256):
        raise ConfigError(f"the plugin file {file.path} has changed since the command began; start it again")
    known = _Process.known.get(file.path)
    if known is not None and known.file.sha256 != file.sha256:
        raise ConfigError(
            f"the plugin file {file.path} has changed since this process loaded it; start another process"
        )
    if file.path in _Process.files:
        return _Process.files[file.path].module
    for other in _Process.files.values():
        if other.file.module == file.module:
            raise ConfigError(
                f"the plugin file {file.path} has the name of another one that is loaded, {other.file.path}; "
                "rename one of them: they are recorded by their names"
            )
    if file.path in _Process.entered:
        raise ConfigError(f"the plugin file {file.path} is being loaded and loads itself; take that call out")
    there = registry()
    if file.path in _Process.files:  # loaded by registry(), as the parent process has it
        return _Process.files[file.path].module
    try:
        found = _load_file(file, content) if known is None else known
        for problem in filter(None, (taken(there, one) for one in found.components)):
            raise NotLoadedError(problem)
    except BaseException as error:
        if known is None:
            sys.modules.pop(file.module, None)  # nothing of it stays
        if isinstance(error, NotLoadedError):
            raise PluginError(f"the plugin file {file.path} {error}") from error.__cause__
        raise
    _Process.known[file.path] = _Process.files[file.path] = found
    there.add(found.components, found.plugin)
    loaded = [[str(one.file.path), one.file.sha256] for one in _Process.files.values()]
    os.environ[FILES] = json.dumps(loaded)
    return found.module


def _load_file(file: PluginFile, content: bytes) -> _Loaded:
    before, _Process.collecting = _Process.collecting, []
    _Process.entered.append(file.path)
    try:
        module = loading.import_file(file, content)
        plugin, by_hook = loading.Reader().read(file.offer, module, needed=False)
        registrations = [*_Process.collecting, *by_hook]
    finally:
        _Process.collecting = before
        _Process.entered.remove(file.path)
    for problem in filter(None, (problem_of(*one) for one in registrations)):
        raise NotLoadedError(problem)
    if not registrations and not plugin.hooks:
        raise NotLoadedError("registers nothing; put @thalweg.register(KIND, NAME) above a config of its own")
    found = {(kind, name): component_of(file.offer, kind, name, cfg) for kind, name, cfg in registrations}
    return _Loaded(file, module, plugin, tuple(found.values()))


def _inherit() -> None:
    stated = os.environ.get(FILES, "")
    try:
        named = [(Path(path), str(sha256)) for path, sha256 in json.loads(stated)] if stated else []
    except (ValueError, TypeError):
        raise ConfigError(f"the environment variable {FILES} is damaged; unset it") from None
    for path, sha256 in named:
        _use(path, sha256)


def _add_again(found: Registry) -> None:
    """What Python code and files have registered so far, to a registry that is loaded anew."""
    for registration in _Process.early:
        component = component_of(_in_python(registration[2]), *registration)
        _Process.registered.setdefault((component.kind, component.name), component)
    _Process.early.clear()
    for one in _Process.registered.values():
        problem = taken(found, one)
        if problem:
            found.faults.append(one.origin.fault(problem))
        else:
            found.add([one])
    for loaded in _Process.files.values():
        found.add(loaded.components, loaded.plugin)


def _problem_of_config(kind: str, name: str, config: str | type) -> str:
    problem = "" if isinstance(config, str) else problem_of_class(config)
    if problem.startswith("is no attrs class"):
        problem += "; put @attrs.frozen on it, beneath @thalweg.register"
    return f"cannot take {kind} '{name}': its config {target_of(config)} {problem}" if problem else ""


def _in_python(config: str | type) -> Offer:
    module = target_of(config).partition(":")[0]
    return Offer(module, module, "", module, module)
