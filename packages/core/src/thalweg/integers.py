"""How large integers may be that users state: seeds, counts, steps.

In one place, as they all reach generators and tensors of 64 bits in the end, where a number beyond is an
error of another library's, or the memory is at an end.
"""

import operator
from typing import Any

import attrs

from thalweg.errors import ConfigError


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

    def check(self, name: str, value: Any) -> None:
        """Raise unless a value is one of them.

        Args:
            name: what it is called in the message.
            value: an integer of Python, NumPy or PyTorch.

        Raises:
            ConfigError: naming the bound.
        """
        try:
            value = operator.index(value)
        except TypeError:
            raise ConfigError(f"'{name}' must be an integer, got {value!r}") from None
        if not self.low <= value <= self.high:
            bound = f"at least {self.low}" if value < self.low else f"at most {self.high}"
            raise ConfigError(f"'{name}' must be {bound}, got {_shown(value)}")


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
"""Whole runs, or judgements of one."""

PROCESSES = Integers(1, 4_096)

_LONGEST = 40  # digits that are repeated


def _shown(value: int) -> str:
    # Python refuses to write numbers of thousands of digits.
    return str(value) if value.bit_length() < 3 * _LONGEST else f"one of {value.bit_length()} bits"
