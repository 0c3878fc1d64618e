"""Everything that is wrong with a configuration, at once."""

import re
from collections.abc import Sequence

import attrs

from thalweg.errors import ConfigError
from thalweg.storage.redaction import redacted
from thalweg.suggestions import did_you_mean

_WORDS = {">=": "at least", "<=": "at most", ">": "above", "<": "below"}


@attrs.frozen
class Problem:
    """One thing that is wrong, and where: keys and list positions from the outside in."""

    path: tuple[str | int, ...]
    message: str

    def under(self, *keys: str | int) -> "Problem":
        """The same, seen from further outside."""
        return Problem((*keys, *self.path), self.message)

    def __str__(self) -> str:
        where = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in self.path)
        return f"{where.removeprefix('.')}: {self.message}" if where else self.message


class FaultyConfigError(ConfigError):
    """A configuration with one or more problems.

    Attributes:
        problems: all of them.
        source: the file, or empty.
    """

    def __init__(self, problems: Sequence[Problem], source: str = "") -> None:
        self.problems = tuple(problems)
        self.source = source
        lines = [str(problem) for problem in self.problems]
        if len(lines) == 1:
            text = f"{source}: {lines[0]}" if source else lines[0]
        else:
            head = f"{source or 'the configuration'} has {len(lines)} faults:"
            text = "\n  ".join([head, *lines])
        super().__init__(redacted(text))

    def under(self, *keys: str | int) -> "FaultyConfigError":
        """The same problems, seen from further outside."""
        return FaultyConfigError([problem.under(*keys) for problem in self.problems], self.source)

    def of(self, source: str) -> "FaultyConfigError":
        """The same problems of this file."""
        return FaultyConfigError(self.problems, source)


def shown(value: object) -> str:
    """A value as it stands in TOML, or what it is if it is long."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    return repr(value)


def one_of(options: Sequence[object], value: object) -> str:
    """``must be one of 'a', 'b', got 'c'``, with the nearest."""
    hint = (
        did_you_mean(value, [one for one in options if isinstance(one, str)])
        if isinstance(value, str)
        else ""
    )
    return f"must be one of {', '.join(map(shown, options))}, got {shown(value)}{hint}"


def sentence(error: Exception, name: str) -> str:
    """What a validator says of the field ``name``, in our words where it is one of attrs' own."""
    message = str(error.args[0]) if error.args else type(error).__name__
    message = message.removeprefix(f"'{name}' ")
    if message.startswith("must be in ") and len(error.args) == 4:
        return one_of(list(error.args[2]), error.args[3])
    bound = re.fullmatch(rf"(Length of '{name}' )?must be (>=|<=|>|<) (\S+): (.*)", message, re.DOTALL)
    if bound:
        verb = "its length must be" if bound[1] else "must be"
        return f"{verb} {_WORDS[bound[2]]} {bound[3].removesuffix('.0')}, got {bound[4]}"
    return message
