"""Which component a table of plain values means, before it is read as a config."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from thalweg.config.slots import Slot, default_of, slot_of
from thalweg.plugins import Registry
from thalweg.plugins import registry as process_registry


def type_at(
    cls: type[Any] | None, data: Mapping[str, Any], path: Sequence[str], registry: Registry | None = None
) -> str | None:
    """The type of the component at a path: the one that is stated, or what the place has by default.

    Args:
        cls: the config class that the values are meant for; without one, only what is stated is known.
        data: plain values, as TOML has them.
        path: keys from the top.
        registry: where components are looked up; the process's own by default.

    Returns:
        None where there is no component, or its type cannot be told.
    """
    here: Any = data
    known, table = cls, None
    stated: str | None = None
    for key in path:
        here = here.get(key) if isinstance(here, Mapping) else None
        slot, default, inner = _place(known, table, key)
        table = slot.kind if slot is not None and slot.table else None
        single = slot is not None and not slot.table
        stated = _stated(here, default if single else None)
        known = _config(slot.kind, stated, registry) if slot is not None and single else inner
    return stated


def _place(
    cls: type[Any] | None, table: str | None, key: str
) -> tuple[Slot | None, str | None, type[Any] | None]:
    """What stands under a key: the slot, its default type, and the class where it is no component."""
    if table is not None:
        return Slot(table), key, None
    field = _field(cls, key)
    if field is None:
        return None, None, None
    inner = field.type if isinstance(field.type, type) and attrs.has(field.type) else None
    return slot_of(field), default_of(field.default).get("type"), inner


def _field(cls: type[Any] | None, key: str) -> "attrs.Attribute[Any] | None":
    if cls is None:
        return None
    attrs.resolve_types(cls)
    return next((one for one in attrs.fields(cls) if (one.alias or one.name) == key), None)


def _stated(here: Any, default: str | None) -> str | None:
    found = here.get("type", default) if isinstance(here, Mapping) else here
    return found if isinstance(found, str) else None


def _config(kind: str, name: str | None, registry: Registry | None) -> type[Any] | None:
    """The config class of a component, None for an unknown one: reading it says what is wrong."""
    known = process_registry() if registry is None else registry
    return known.config_class(kind, name) if name is not None and name in known.names(kind) else None
