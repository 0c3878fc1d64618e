"""A table's cells as they are printed, with the best of each column found."""

import math

import attrs

from thalweg.report.model import Table
from thalweg.report.numbers import MISSING, column


@attrs.frozen
class PrintedCell:
    """One cell.

    Attributes:
        text: what is printed.
        numeric: whether it belongs to a column of numbers, which are set flush right.
        best: whether it is the best number of its column.
    """

    text: str
    numeric: bool
    best: bool


def cells(table: Table) -> list[list[PrintedCell]]:
    """The rows of a table, numbers formatted column by column."""
    columns = [_column(table, index) for index in range(len(table.header))]
    return [[printed[row] for printed in columns] for row in range(len(table.rows))]


def _column(table: Table, index: int) -> list[PrintedCell]:
    entries = [row[index] for row in table.rows]
    printed = iter(column([entry for entry in entries if not isinstance(entry, str)]))
    texts = [(entry or MISSING) if isinstance(entry, str) else next(printed) for entry in entries]
    numeric = any(isinstance(entry, int | float) for entry in entries)
    best = _best(table, index)
    return [PrintedCell(text, numeric, row in best) for row, text in enumerate(texts)]


def _best(table: Table, index: int) -> set[int]:
    """The rows with the best number, ties included; none where there is nothing to compare."""
    if not table.best or table.best[index] is None:
        return set()
    scores = {
        row: float(entry)
        for row, cells in enumerate(table.rows)
        if row not in table.reference
        and isinstance(entry := cells[index], int | float)
        and math.isfinite(entry)
    }
    if len(scores) < 2:
        return set()
    target = min(scores.values()) if table.best[index] == "min" else max(scores.values())
    return {row for row, score in scores.items() if score == target}
