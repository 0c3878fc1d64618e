"""What a config class takes, in words."""

from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import attrs

from thalweg.config import plain, slot_of


@attrs.frozen
class FieldDescription:
    """One field of a config class.

    Attributes:
        name: its key in a recipe.
        type: what it takes, in words.
        required: it has no default.
        default: the default as a plain value, as TOML holds it.
    """

    name: str
    type: str
    required: bool
    default: Any


def describe_fields(config: type) -> list[FieldDescription]:
    """The fields of an attrs class, in their order."""
    attrs.resolve_types(config)
    return [_described(field) for field in attrs.fields(config) if field.init]


def _described(field: "attrs.Attribute[Any]") -> FieldDescription:
    default: Any = field.default
    required = default is attrs.NOTHING
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type] # a class, typed as a function
        default = "(computed)" if default.takes_self else default.factory()
    name = field.alias or field.name
    return FieldDescription(name, _type(field), required, None if required else plain(default))


def _type(field: "attrs.Attribute[Any]") -> str:
    slot = slot_of(field)
    if slot is None:
        return _words(field.type)
    if slot.table:
        return f"table of {slot.kind} components"
    if slot.several:
        return f"none | {slot.kind} component | list of them"
    return f"{slot.kind} component{' | none' if slot.optional else ''}"


def _words(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in (None, NoneType):
        return "none"
    if annotation is Ellipsis:
        return "..."
    if origin in (Union, UnionType):
        return " | ".join(_words(one) for one in arguments)
    if origin is Literal:
        return " | ".join(map(repr, arguments))
    if origin is not None:
        return f"{origin.__name__}[{', '.join(_words(one) for one in arguments)}]"
    return str(getattr(annotation, "__name__", annotation))
