"""Fields that hold a component."""

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
    """

    kind: str
    optional: bool = False
    table: bool = False


def component_field(kind: str, default: Any = attrs.NOTHING, *, optional: bool = False) -> Any:
    """A field that holds the config of a component, or a component that is built.

    In Python it takes a config, registered or not, a part that is built, a bare name or a mapping with
    ``type``; a mapping without one takes the default's.

    Args:
        kind: one of :data:`thalweg.plugins.KINDS`.
        default: a bare name, None, or nothing for a field that must be given.
        optional: None is allowed.
    """
    name = default if isinstance(default, str) else None
    return attrs.field(
        default=default,
        converter=partial(_component, kind, optional, name),
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


def slot_of(field: "attrs.Attribute[Any]") -> Slot | None:
    """What kind of component an attrs field holds, if any."""
    slot = field.metadata.get(_KEY)
    return slot if isinstance(slot, Slot) else None


def _component(kind: str, optional: bool, default: str | None, value: Any) -> Any:
    from thalweg.config.structuring import component  # which reads slots itself

    return component(kind, value, optional=optional, default=default)


def _components(kind: str, value: Any) -> Any:
    from thalweg.config.structuring import components

    return components(kind, value)
