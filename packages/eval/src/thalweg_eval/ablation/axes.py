"""Axes of a grid, ``key.path=value,value,...``, and the cells that their product makes (no torch here)."""

from collections.abc import Sequence
from itertools import product

import attrs

from thalweg.errors import ConfigError

_OPEN, _CLOSE = "[{", "]}"


@attrs.frozen
class Cell:
    """One composition of the grid.

    Attributes:
        name: what the table calls it.
        overrides: ``key.path=value``, applied to the recipe.
        strict: an objective that the composition cannot serve is an error; else it is left out.
    """

    name: str
    overrides: tuple[str, ...]
    strict: bool = True


def cells_of(axes: Sequence[str]) -> list[Cell]:
    """The product of axes, each ``key.path=value,value,...``; the last one runs fastest.

    ``refiner=none`` sets ``branches=1`` as well, since only one branch does without a refiner.

    Raises:
        ConfigError: an axis has no values, states one twice, or two axes are of one key.
    """
    keys = [axis.partition("=")[0].strip() for axis in axes]
    for key in keys:
        if keys.count(key) > 1:
            raise ConfigError(f"two axes are of {key}; give all its values to one")
    return [
        Cell(", ".join(choice), tuple(override for one in choice for override in _coherent(one)), False)
        for choice in product(*map(_choices, axes))
    ]


def _choices(axis: str) -> list[str]:
    key, equals, text = axis.partition("=")
    values = [value.strip() for value in _split(text)]
    if not equals or not key.strip() or not all(values):
        raise ConfigError(f"axis '{axis}' is not of the form key.path=value,value,...")
    for value in values:
        if values.count(value) > 1:
            raise ConfigError(f"axis '{axis}' states {value} twice; each value makes a cell of its own")
    return [f"{key.strip()}={value}" for value in values]


def _split(text: str) -> list[str]:
    """At commas that stand in no list, table or string."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        depth += (letter in _OPEN) - (letter in _CLOSE) if not quote else 0
        if letter == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _coherent(override: str) -> tuple[str, ...]:
    return (override, "branches=1") if override == "refiner=none" else (override,)
