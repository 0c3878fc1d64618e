"""What callers in Python hand over, checked before anything is done with it, and the bounds of integers.

The bounds are in one place, as seeds, counts and steps all reach generators and tensors of 64 bits in the
end, where a number beyond is an error of another library's, or the memory is at an end (no torch here).
"""

import operator
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from thalweg.errors import ConfigError
from thalweg.storage.redaction import excerpt
from thalweg.suggestions import article

_PLAIN = (bool, int, float, complex, str, bytes, tuple, os.PathLike, type(None))
_SHOWN = 60  # characters of a value
_LONGEST = 40  # digits of an integer that are repeated


@attrs.frozen
class Integers:
    """Integers from ``low`` to ``high``; as a validator of attrs, and as a check of arguments.

    Attributes:
        low: the smallest.
        high: the largest.
    """

    low: int
    high: int

    def __call__(self, _: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        """Validate a field."""
        self.check(attribute.name, value)

    def check(self, name: str, value: Any) -> int:
        """A value that is one of them, as Python's own.

        Args:
            name: what it is called in the message.
            value: an integer of Python, NumPy or PyTorch.

        Raises:
            ConfigError: it is no integer, or beyond a bound, which is named.
        """
        number = integer(name, value)
        if not self.low <= number <= self.high:
            bound = f"at least {self.low}" if number < self.low else f"at most {self.high}"
            raise ConfigError(f"'{name}' must be {bound}, got {_shown(number)}")
        return number


SEED = Integers(0, 2**63 - 1)
"""Of PyTorch's generators, where negative ones stand for others."""

SEED_OF_NUMPY = Integers(0, 2**32 - 1)
"""Of NumPy's ``RandomState``."""

INDEX = Integers(0, 2**63 - 1)
STEPS = Integers(1, 10**9)
STEPS_OR_NEVER = Integers(0, 10**9)
SAMPLES = Integers(1, 10**8)
AT_ONCE = Integers(1, 2**20)
"""Samples of a batch, and whatever else is held at one time."""

REPEATS = Integers(1, 10_000)
"""Whole runs, or evaluations of one."""

PROCESSES = Integers(1, 4_096)


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


def _shown(value: int) -> str:
    # Python refuses to write numbers of thousands of digits.
    return str(value) if value.bit_length() < 3 * _LONGEST else f"one of {value.bit_length()} bits"
