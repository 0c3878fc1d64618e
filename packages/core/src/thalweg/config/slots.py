"""Fields that hold a component."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import attrs

_KEY = "thalweg.component"


@attrs.frozen
class Slot:
    """What a field takes.

    Attributes:
        kind: the kind of component.
        optional: None, written ``none``, is allowed.
        table: any number of components by name, rather than one.
        several: any number of components in an order, rather than one.
    """

    kind: str
    optional: bool = False
    table: bool = False
    several: bool = False


def component_field(kind: str, default: Any = attrs.NOTHING, *, optional: bool = False) -> Any:
    """A field that holds the config of a component, or a component that is built.

    In Python it takes a config, registered or not, a part that is built, a bare name or a mapping with
    ``type``; a mapping without one changes the default.

    Args:
        kind: one of :data:`thalweg.plugins.KINDS`.
        default: a bare name, a mapping with ``type``, None, or nothing for a field that must be given.
        optional: None is allowed.
    """
    return attrs.field(
        default=default,
        converter=partial(_component, kind, optional, default_of(default)),
        metadata={_KEY: Slot(kind, optional)},
    )


def component_table(kind: str, *, required: bool = False) -> Any:
    """A field that holds any number of components by name, at least one if required.

    The name is the component's type unless it states another; ``none`` takes a name out again.
    """
    return attrs.field(
        default=attrs.NOTHING if required else attrs.Factory(dict),
        converter=partial(_components, kind),
        validator=attrs.validators.min_len(1) if required else None,
        metadata={_KEY: Slot(kind, table=True)},
    )


def default_of(default: Any) -> Mapping[str, Any]:
    """A slot's default as a table with ``type``; empty where it has none, or none of a component."""
    if isinstance(default, str):
        return {"type": default}
    return default if isinstance(default, Mapping) else {}


def component_list(kind: str) -> Any:
    """A field that holds any number of components in an order, none by default; a tuple of configs.

    It takes one component as :func:`component_field` does, or a list of such, or None, written ``none``.
    """
    return attrs.field(
        default=(), converter=partial(_component_list, kind), metadata={_KEY: Slot(kind, several=True)}
    )


def listed(value: Any) -> list[Any]:
    """What stands for any number of components in an order, as a list: nothing, one, or several."""
    if value is None or (isinstance(value, str) and value == "none"):
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def slot_of(field: "attrs.Attribute[Any]") -> Slot | None:
    """What kind of component an attrs field holds, if any."""
    slot = field.metadata.get(_KEY)
    return slot if isinstance(slot, Slot) else None


def _component(kind: str, optional: bool, default: Mapping[str, Any], value: Any) -> Any:
    from thalweg.config.structuring import component  # which reads slots itself

    return component(kind, value, optional=optional, default=default)


def _components(kind: str, value: Any) -> Any:
    from thalweg.config.structuring import components

    return components(kind, value)


def _component_list(kind: str, value: Any) -> Any:
    from thalweg.config.structuring import components_in_order

    return components_in_order(kind, value)
