"""Which plugin files something uses, as it is recorded, and what to make of such a record (no torch here).

A record is a table by a file's name: ``{"mine.py": {"sha256": ..., "components": ["refiner mine"]}}``.
``former`` has the SHA-256s that the file had before, where a run was resumed with another.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from thalweg.errors import PluginError
from thalweg.objects import OBJECT
from thalweg.plugins.process import files, registry

FILES_KEY = "plugin_files"
"""Of a record, in the configuration of a run and in the description of a saved network."""

Recorded = Mapping[str, Mapping[str, Any]]

_log = logging.getLogger("thalweg")


def files_of(*things: Any) -> dict[str, dict[str, Any]]:
    """The record of all files whose components are used.

    Args:
        things: configs, built parts, modules, and tables or lists of them; of a table ``{object = ...}``
            the module that it names counts.
    """
    loaded, known = files(), registry()
    if not loaded:
        return {}
    used: dict[str, dict[str, Any]] = {}
    classes = {cls: None for one in things for cls in _classes(one)}
    for file in loaded:
        own = [one for one in known if one.origin.distribution == file.name]
        named = {
            f"{one.kind} {one.name}"
            for one in own
            if any(isinstance(cls, type) and known.is_config_of(one, cls) for cls in classes)
        }
        modules = {cls if isinstance(cls, str) else cls.__module__ for cls in classes}
        if named or file.module in modules:
            used[file.name] = {"sha256": file.sha256, "components": sorted(named)}
    return used


def digests_of(*things: Any) -> dict[str, str]:
    """The SHA-256 of each file whose components are used, by its name; arguments as of :func:`files_of`."""
    return {name: str(file["sha256"]) for name, file in files_of(*things).items()}


def with_files(identity: Mapping[str, Any], *things: Any) -> dict[str, Any]:
    """The identity of something, with the plugin files that it is made by: edited, they make another one."""
    files = digests_of(*things)
    return {**identity, **({FILES_KEY: files} if files else {})}


def check_files(recorded: Any, where: str) -> None:
    """Make sure that the files that something was made with are loaded; another one of the name is warned of.

    Args:
        recorded: the record, or whatever stands in its place.
        where: what it was found in.

    Raises:
        PluginError: a file is not loaded, and what it brought is not there either.
    """
    for name, file in _read(recorded):
        if _complain(name, file["sha256"], where):
            continue
        known = registry()
        components = [one.partition(" ") for one in file["components"]]
        if not components or any(known.component(kind, what) is None for kind, _, what in components):
            raise PluginError(f"{where} was made with the plugin file {wanted(name, file['sha256'])}")


def note_files(recorded: Any, where: str) -> None:
    """As :func:`check_files`, but a file that is missing shows when one of its components is requested."""
    for name, file in _read(recorded):
        if not _complain(name, file["sha256"], where):
            registry().brought.update(dict.fromkeys(file["components"], wanted(name, file["sha256"])))


def changed(before: Any, now: Recorded) -> str:
    """How the files of a run differ from those that it was trained with so far; empty if they do not."""
    old = {name: str(file["sha256"]) for name, file in _read(before)}
    new = {name: str(file["sha256"]) for name, file in now.items()}
    if sorted(old.values()) == sorted(new.values()):
        return ""
    differing = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    return "; ".join(
        f"the plugin file {name} {_shown('had', 'was', old.get(name))} and "
        f"{_shown('has', 'is', new.get(name))} now"
        for name in differing
    )


def continued(before: Any, now: Recorded) -> dict[str, dict[str, Any]]:
    """The record of a resumed run: each file with the SHA-256s that it had before.

    A file that is used no longer hands its own on to those that bring components of it.
    """
    old = dict(_read(before))
    found = {}
    for name, file in now.items():
        parts = set(file["components"])
        gone = [one for one, had in old.items() if one not in now and parts & set(had["components"])]
        former: dict[str, None] = {}
        for one in [*gone, *([name] if name in old else [])]:
            former |= dict.fromkeys([*old[one].get("former", []), old[one]["sha256"]])
        former.pop(str(file["sha256"]), None)
        found[name] = {**file, "former": list(former)} if former else dict(file)
    return found


def wanted(name: str, sha256: str) -> str:
    """A file that is missing, and how to give it."""
    return (
        f"{name} (SHA-256 {sha256}), which is not loaded; give it by 'thalweg -p {name} ...', or by "
        f"thalweg.use_file('{name}') in Python"
    )


def _complain(name: str, sha256: str, where: str) -> bool:
    """Whether the file, or another one of its name, is loaded; of the other one is warned."""
    loaded = files()
    if any(one.sha256 == sha256 for one in loaded):
        return True
    other = next((one for one in loaded if one.name == name), None)
    if other is not None:
        _log.warning(
            "%s was made with the plugin file %s of SHA-256 %s, and the one that is loaded has %s",
            where,
            name,
            sha256,
            other.sha256,
        )
    return other is not None


def _read(recorded: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What of a record can be read; it may come from an untrusted file."""
    for name, file in recorded.items() if isinstance(recorded, Mapping) else ():
        if not isinstance(file, Mapping) or not isinstance(file.get("sha256"), str):
            continue
        components = file.get("components")
        known = [one for one in components if isinstance(one, str)] if isinstance(components, list) else []
        yield str(name), {**file, "components": known}


def _shown(has: str, is_: str, sha256: str | None) -> str:
    return f"{is_} not used" if sha256 is None else f"{has} SHA-256 {sha256}"


def _classes(thing: Any) -> Iterator[type | str]:
    """The classes of a config or part and of all that it holds; of what is named, the module."""
    if isinstance(thing, Mapping):
        made = thing.get(OBJECT)
        if isinstance(made, str):
            yield made.partition(":")[0]
        for one in thing.values():
            yield from _classes(one)
    elif isinstance(thing, list | tuple):
        for one in thing:
            yield from _classes(one)
    elif not isinstance(thing, str | int | float | bytes | type | None):
        yield type(thing)
        if attrs.has(type(thing)):
            for field in attrs.fields(type(thing)):
                yield from _classes(getattr(thing, field.name, None))
        modules = getattr(thing, "modules", None)
        if callable(modules):
            yield from {type(one) for one in modules()}
