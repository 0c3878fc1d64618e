"""What callers in Python hand over, looked at before anything is done with it (no torch here)."""

import operator
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from thalweg.errors import ConfigError
from thalweg.storage.redaction import excerpt
from thalweg.suggestions import article

_PLAIN = (bool, int, float, complex, str, bytes, tuple, os.PathLike, type(None))
_SHOWN = 60  # characters of a value


def described(value: Any) -> str:
    """What was given, in a few words: a plain value as Python writes it, of anything else what it is."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, _PLAIN):
        return excerpt(repr(value), _SHOWN)
    return article(type(value).__name__)


def integer(name: str, value: Any) -> int:
    """An integer, of whatever type counts as one; True and 2.0 do not.

    Raises:
        ConfigError: it is none.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise ConfigError(f"'{name}' must be an integer, got {described(value)}")
    return number


def check_integers(name: str, values: Any, example: str) -> list[int]:
    """A sequence of integers, also as an array or tensor of one axis.

    Args:
        name: of the argument.
        values: what was given for it.
        example: of what is expected.

    Raises:
        ConfigError: it is no sequence, or holds something else.
    """
    if isinstance(values, range):
        return list(values)
    if hasattr(values, "tolist"):
        values = values.tolist()
    if not isinstance(values, Sequence) or isinstance(values, str | bytes):
        raise ConfigError(f"{name} is {described(values)}; give a sequence of integers, such as {example}")
    return [integer(f"{name}[{position}]", one) for position, one in enumerate(values)]


def check_path(name: str, value: Any, what: str) -> None:
    """A path or URL, as text or as a path.

    Args:
        name: of the argument.
        value: what was given for it.
        what: what it is the path of.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(value, str | os.PathLike):
        raise ConfigError(f"{name} is {described(value)}; give the path of {what}")


def check_texts(name: str, values: Any, example: str) -> list[str]:
    """Several strings; a single one, which would be taken for its letters, is refused.

    Args:
        name: of the argument.
        values: what was given for it.
        example: of what is expected.

    Raises:
        ConfigError: it is one string, a table, or holds something else.
    """
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise ConfigError(f"{name} is {described(values)}; give a list of strings, such as {example}")
    texts = list(values)
    for position, one in enumerate(texts):
        if not isinstance(one, str):
            raise ConfigError(
                f"{name}[{position}] is {described(one)}; each must be a string, as in {example}"
            )
    return texts


def check_instance(name: str, value: Any, types: type | tuple[type, ...], expected: str) -> None:
    """A value of these types.

    Args:
        name: of the argument.
        value: what was given for it.
        types: what it may be.
        expected: the same in words, with what to do.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(value, types):
        raise ConfigError(f"{name} is {described(value)}; give {expected}")
