"""Numbers of several passports side by side (no torch here)."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from thalweg.config import flat
from thalweg.errors import ConfigError
from thalweg.passport import Passport
from thalweg.suggestions import did_you_mean, known_words
from thalweg.visible import columns

_STUDIED, _NFE = "sampling", "nfe"


@attrs.frozen
class Comparison:
    """Passports side by side.

    Attributes:
        numbers: one value for each passport, None where it has none, by name.
        over: conditions under study, with the value in each, by dotted name.
        differing: other conditions that are not the same in all, likewise.
        best: places of the passports with the best value, by number; only where all conditions but those
            under study agree, all have the number, and one way is better.
    """

    numbers: Mapping[str, Sequence[float | None]]
    over: Mapping[str, Sequence[Any]]
    differing: Mapping[str, Sequence[Any]]
    best: Mapping[str, Sequence[int]]


def compare(passports: Sequence[Passport], over: Sequence[str] = ()) -> Comparison:
    """Compare passports; numbers made under different conditions are not ranked.

    Args:
        passports: at least one.
        over: conditions under study, in which they may differ: how samples were generated, such as
            ``sampling.guidance``, with all below it.

    Raises:
        ConfigError: if no passport states such a condition, or it is none of how samples were generated:
        numbers
            that were measured otherwise are not numbers of one kind.
    """
    names = list(dict.fromkeys(name for passport in passports for name in passport.numbers))
    numbers = {
        name: [passport[name] if name in passport.numbers else None for passport in passports]
        for name in names
    }
    stated = [flat(passport.conditions) for passport in passports]
    keys = list(dict.fromkeys(key for one in stated for key in one))
    for asked in over:
        _check_studied(asked, keys)
    table = {
        key: [one.get(key) for one in stated]
        for key in keys
        if any(one.get(key) != stated[0].get(key) for one in stated)
    }
    studied = {key: values for key, values in table.items() if any(_is_below(key, one) for one in over)}
    differing = {key: values for key, values in table.items() if key not in studied}
    best: dict[str, list[int]] = {}
    for name, values in numbers.items():
        known = [value for value in values if value is not None]
        direction = passports[0].numbers.get(name, {}).get("better")
        if not differing and direction is not None and len(known) == len(values):
            first = max(known) if direction == "higher" else min(known)
            best[name] = [place for place, value in enumerate(known) if value == first]
    return Comparison(numbers, studied, differing, best)


def rows(found: Comparison) -> list[tuple[str, ...]]:
    """A row for each number: its name, and each value as text; the best are marked by ``*``."""
    return [
        (name, *(_shown(value, best=at in found.best.get(name, ())) for at, value in enumerate(values)))
        for name, values in found.numbers.items()
    ]


class Passports(dict[str, Passport]):
    """One of each variant by name; as text, a table of their numbers, the best marked by ``*``."""

    def __str__(self) -> str:
        return self.table

    def __repr__(self) -> str:
        return f"Passports of {', '.join(self)}\n{self.table}"

    @property
    def table(self) -> str:
        """A line for each number, and one for the NFE of a sample; a column for each variant."""
        found = compare(list(self.values()), ["sampling"])
        costs = [one.subject.get(_NFE) for one in self.values()]
        cost = (_NFE, *("-" if one is None else f"{one:.6g}" for one in costs))
        return columns([*rows(found), cost], ("number", *self))


def _shown(value: float | None, *, best: bool) -> str:
    return "-" if value is None else f"{value:.6g}{' *' if best else ''}"


def _is_below(key: str, above: str) -> bool:
    return key == above or key.startswith(f"{above}.")


def _check_studied(asked: str, keys: Sequence[str]) -> None:
    if not _is_below(asked, _STUDIED):
        raise ConfigError(
            f"'{asked}' is of how numbers are measured and not of how samples are generated, so no numbers "
            f"that differ in it can be ranked; --over takes {_STUDIED} and what is below it, such as "
            f"{_STUDIED}.guidance"
        )
    if not any(_is_below(key, asked) for key in keys):
        # Every place on the way can be studied, not the leaves alone.
        parts = [key.split(".") for key in keys if _is_below(key, _STUDIED)]
        places = sorted({".".join(part[:end]) for part in parts for end in range(1, len(part) + 1)})
        raise ConfigError(f"no passport states '{asked}'{did_you_mean(asked, places) or known_words(places)}")
