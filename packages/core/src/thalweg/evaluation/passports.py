"""Passports of several ways to draw from one network, and a table of their numbers (no torch here)."""

from collections.abc import Iterator, Mapping

from thalweg.evaluation.comparing import compare, rows
from thalweg.evaluation.passport import Passport
from thalweg.visible import columns

_COST = "evaluations"


class Passports(Mapping[str, Passport]):
    """One of each way, by name; as text, their numbers side by side with the best of each marked by ``*``.

    Args:
        passports: at least one, made of one network against one reference.
    """

    def __init__(self, passports: Mapping[str, Passport]) -> None:
        self._passports = dict(passports)

    def __getitem__(self, name: str) -> Passport:
        return self._passports[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._passports)

    def __len__(self) -> int:
        return len(self._passports)

    def __str__(self) -> str:
        return self.table

    def __repr__(self) -> str:
        return f"Passports of {', '.join(self)}\n{self.table}"

    @property
    def table(self) -> str:
        """A line for each number, and one for the evaluations that a sample took; a column for each way."""
        found = compare(list(self.values()), ["sampling"])
        costs = [one.subject.get(_COST) for one in self.values()]
        cost = (_COST, *("-" if one is None else f"{one:.6g}" for one in costs))
        return columns([*rows(found), cost], ("number", *self))
