"""Recipes with ``base = "other.toml"``: how they are merged, and which file a fault is in."""

import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from thalweg.config.run import RunConfig
from thalweg.config.values import FaultyConfigError, Problem, Slot, default_of, key_of, slot_of
from thalweg.plugins import registry
from thalweg.storage.places import is_url, plain_place

BASE = "base"
"""The key of a recipe that names the file it is based on."""


@attrs.frozen
class Recipe:
    """A recipe as it was read, with its bases.

    Attributes:
        place: its file, for messages.
        data: all that the recipe and its bases state, merged, in plain values.
        layers: each file with what it states by itself, from the recipe to its last base.
    """

    place: str
    data: Mapping[str, Any]
    layers: tuple[tuple[str, Mapping[str, Any]], ...]

    def located(self, faults: FaultyConfigError, overridden: Sequence[Sequence[str]]) -> list[Problem]:
        """The problems of the merged recipe; those of a base name its file, which answers for no override."""
        return [
            attrs.evolve(one, message=f"{one.message} (in {place})") if place != self.place else one
            for one in faults.problems
            for place in [self._file_of(one, overridden)]
        ]

    def _file_of(self, problem: Problem, overridden: Sequence[Sequence[str]]) -> str:
        if any(problem.path[: len(key)] == tuple(key) for key in overridden):
            return self.place
        return next((place for place, data in self.layers if _states(data, problem.path)), self.place)


def merged(
    base: Mapping[str, Any],
    changes: Mapping[str, Any],
    path: tuple[str, ...] = (),
    whole: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What a recipe states on top of its base.

    Tables are merged key by key, and everything else replaces what the base has. A component of another
    type, or ``none``, replaces the base's whole table; a table without ``type`` and the bare name of the
    component that is there change what they state and keep the rest. ``path`` is where in the recipe both
    stand, and ``whole`` all of the base.
    """
    whole = base if whole is None else whole
    found = dict(base)
    for key, value in changes.items():
        at, former = (*path, key), single(base.get(key))
        stated = value.get("type") if isinstance(value, Mapping) else value
        if isinstance(value, Mapping) and isinstance(former, str) and former != "none":
            former = {"type": former}
        mixes = isinstance(former, Mapping) and isinstance(value, Mapping | str)
        if mixes and (stated is None or stated == type_at(RunConfig, whole, at)):
            found[key] = merged(former, value if isinstance(value, Mapping) else {}, at, whole)
        else:
            found[key] = value
    return found


def type_at(cls: type[Any] | None, data: Mapping[str, Any], path: Sequence[str]) -> str | None:
    """The type of the component at a path: the one that is stated, or what the place has by default; None
    where there is no component, or its type is not known."""
    here: Any = data
    kind: str | None = None  # of the components by name among which a key is
    stated = None
    for key in path:
        here = here.get(key) if isinstance(here, Mapping) else None
        field = None if cls is None or kind is not None else _field(cls, key)
        slot = Slot(kind) if kind is not None else None if field is None else slot_of(field)
        default = key if kind is not None else None
        if field is not None and slot is not None and not slot.table:
            default = default_of(field.default).get("type")
        found = here.get("type", default) if isinstance(here, Mapping) else here
        stated = found if isinstance(found, str) else None
        kind = slot.kind if slot is not None and slot.table else None
        if slot is not None and not slot.table:
            # Reading an unknown one says what is wrong.
            there = stated is not None and stated in registry().names(slot.kind)
            cls = registry().config_class(slot.kind, str(stated)) if there else None
        else:
            inner = None if field is None else field.type
            cls = inner if isinstance(inner, type) and attrs.has(inner) else None
    return stated


def _field(cls: type[Any], key: str) -> "attrs.Attribute[Any] | None":
    attrs.resolve_types(cls)
    return next((one for one in attrs.fields(cls) if key_of(one) == key), None)


def single(value: Any) -> Any:
    """What is in a list of one; of others, the value itself."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def place_beside(file: str, named: str) -> str:
    """Where a file is that another one names: a URL, an absolute path, or one relative to that other file."""
    named = plain_place(named)
    if is_url(named) or Path(named).is_absolute():
        return named
    if not is_url(file):
        return str(Path(plain_place(file)).parent / named)
    scheme, _, rest = file.partition("?")[0].partition("://")
    authority, _, path = rest.partition("/")
    return f"{scheme}://{authority}{posixpath.normpath(f'/{posixpath.dirname(path)}/{named}')}"


def _states(data: Any, path: Sequence[str | int]) -> bool:
    """Whether plain values state what a problem's path leads to, or what it leads through."""
    for key in path:
        if not isinstance(data, Mapping):
            return True
        if key not in data:
            return False
        data = data[key]
    return True
