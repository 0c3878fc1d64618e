"""Strict reading of plain values as what an annotation asks for.

Written out rather than left to cattrs, whose scalars convert, whose lists take a string for its letters,
and whose errors would have to be taken apart for the path and worded anew.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import attrs

from thalweg.config.faults import FaultyConfigError, Problem, one_of, shown
from thalweg.homes import home_path

Nested = Callable[[type[Any], Any], Any]

_BITS = 64
_WORDS = {
    int: "an integer",
    float: "a number",
    str: "a string",
    bool: "true or false",
    Path: "a path",
    NoneType: "none",
}


def read(annotation: Any, data: Any, nested: Nested) -> Any:
    """A value as its annotation asks for it.

    Args:
        annotation: a scalar, Literal, Path, attrs class, list, tuple, dict, union or Any.
        data: a plain value.
        nested: reads attrs classes.

    Raises:
        FaultyConfigError: it does not fit, or no plain value ever does.
    """
    origin, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if annotation is None or origin in (Any, object):
        return data
    if origin is Annotated:
        return read(arguments[0], data, nested)
    if origin in (Union, UnionType):
        return _union(arguments, data, nested)
    if origin is Literal:
        return _literal(arguments, data)
    if origin in (list, Sequence):
        items = _items(annotation, data, lambda _: arguments[0] if arguments else Any, nested)
        return items if origin is list else tuple(items)
    if origin is tuple:
        return _tuple(annotation, arguments, data, nested)
    if origin in (dict, Mapping):
        return _dict(annotation, arguments, data, nested)
    if attrs.has(origin):
        return nested(origin, data)
    return _scalar(annotation, data)


def _scalar(annotation: Any, data: Any) -> Any:
    if annotation not in _WORDS:
        raise _unfit(f"has the type {annotation}, which cannot be read from a configuration")
    if annotation is NoneType and (data is None or data == "none"):
        return None
    if annotation is float and type(data) in (int, float):
        if not math.isfinite(data):
            raise _unfit(f"expected a finite number, got {data}")
        return float(data)
    if annotation is Path and isinstance(data, str | Path):
        return home_path(data)
    # By type(), as True is an int to isinstance.
    if type(data) is annotation:
        if type(data) is int and data.bit_length() >= _BITS:
            raise _unfit(f"expected an integer of less than {_BITS} bits, got one of {data.bit_length()}")
        return data
    raise _unfit(f"expected {_WORDS[annotation]}, got {shown(data)}")


def _literal(options: tuple[Any, ...], data: Any) -> Any:
    for option in options:
        if type(option) is type(data) and option == data:
            return option
    raise _unfit(one_of(options, data))


def _union(members: tuple[Any, ...], data: Any, nested: Nested) -> Any:
    if NoneType in members and (data is None or data == "none"):
        return None
    others = [member for member in members if member is not NoneType]
    if len(others) == 1:
        return read(others[0], data, nested)
    for member in others:
        try:
            return read(member, data, nested)
        except FaultyConfigError:
            continue
    raise _unfit(f"expected {' or '.join(_words(member) for member in others)}, got {shown(data)}")


def _tuple(annotation: Any, arguments: tuple[Any, ...], data: Any, nested: Nested) -> Any:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_items(annotation, data, lambda _: arguments[0], nested))
    if isinstance(data, list | tuple) and arguments and len(data) != len(arguments):
        raise _unfit(f"expected {len(arguments)} values, got {len(data)}")
    return tuple(_items(annotation, data, lambda i: arguments[i] if arguments else Any, nested))


def _items(annotation: Any, data: Any, member: Callable[[int], Any], nested: Nested) -> list[Any]:
    if not isinstance(data, list | tuple):
        raise _unfit(f"expected {_words(annotation)}, got {shown(data)}")
    return list(_each(((i, member(i), one) for i, one in enumerate(data)), nested).values())


def _dict(annotation: Any, arguments: tuple[Any, ...], data: Any, nested: Nested) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise _unfit(f"expected {_words(annotation)}, got {shown(data)}")
    member = arguments[1] if arguments else Any
    return _each(((str(key), member, one) for key, one in data.items()), nested)


def _each(entries: Any, nested: Nested) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    problems: list[Problem] = []
    for key, member, one in entries:
        try:
            found[key] = read(member, one, nested)
        except FaultyConfigError as faults:
            problems += faults.under(key).problems
    if problems:
        raise FaultyConfigError(problems)
    return found


def _words(annotation: Any) -> str:
    origin = get_origin(annotation) or annotation
    if origin is Literal:
        return f"one of {', '.join(map(shown, get_args(annotation)))}"
    if origin in (list, tuple, Sequence):
        return "a list"
    if origin in (dict, Mapping) or attrs.has(origin):
        return "a table"
    return _WORDS.get(annotation, str(annotation))


def _unfit(message: str) -> FaultyConfigError:
    return FaultyConfigError([Problem((), message)])
