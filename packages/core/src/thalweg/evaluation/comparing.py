"""Passports side by side (no torch here)."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from thalweg.config import flat
from thalweg.evaluation.passport import Passport


@attrs.frozen
class Comparison:
    """What passports say together.

    Attributes:
        numbers: one value for each passport, None where it has none, by name.
        differing: conditions that are not the same in all, with the value in each, by dotted name.
        best: places of the passports with the best value, by number; only where all conditions agree, all
            have the number, and it is known which way is better.
    """

    numbers: Mapping[str, Sequence[float | None]]
    differing: Mapping[str, Sequence[Any]]
    best: Mapping[str, Sequence[int]]


def compare(passports: Sequence[Passport]) -> Comparison:
    """Compare passports; numbers made under different conditions are not ranked."""
    names = list(dict.fromkeys(name for passport in passports for name in passport.numbers))
    numbers = {
        name: [passport[name] if name in passport.numbers else None for passport in passports]
        for name in names
    }
    stated = [flat(passport.conditions) for passport in passports]
    keys = list(dict.fromkeys(key for one in stated for key in one))
    differing = {
        key: [one.get(key) for one in stated]
        for key in keys
        if any(one.get(key) != stated[0].get(key) for one in stated)
    }
    best: dict[str, list[int]] = {}
    for name, values in numbers.items():
        known = [value for value in values if value is not None]
        direction = passports[0].numbers.get(name, {}).get("better")
        if not differing and direction is not None and len(known) == len(values):
            first = max(known) if direction == "higher" else min(known)
            best[name] = [place for place, value in enumerate(known) if value == first]
    return Comparison(numbers, differing, best)
