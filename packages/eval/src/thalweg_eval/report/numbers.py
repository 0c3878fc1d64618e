"""Numbers as people read them, alone and in the cells of a table.

Four significant digits, thousands separators, a true minus sign.
"""

import math
from collections.abc import Sequence

import attrs

from thalweg_eval.report.model import Table

MISSING = "–"
_SIGNIFICANT = 4
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


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


def readable(value: float | int | None) -> str:
    """One number: 12,345 or 0.9713 or 1.23 × 10⁻⁶; None gives an en dash, and bools give yes or no."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return fixed(value, 0)
    if not math.isfinite(value) or value == 0:
        return fixed(value, 0)
    if not 1e-4 <= abs(value) < 1e9:
        return scientific(value)
    return fixed(value, max(0, _SIGNIFICANT - 1 - _magnitude(value)))


def column(values: Sequence[float | int | None]) -> list[str]:
    """Numbers that stand below each other: all floats with the same decimals, if that shows them all.

    The largest keeps at least four significant digits and the smallest three; where the numbers are so
    far apart that this makes them long, each is formatted for itself.
    """
    floats = [abs(value) for value in values if isinstance(value, float) and math.isfinite(value) and value]
    if not floats or not (min(floats) >= 1e-4 and max(floats) < 1e9 and max(floats) < 1000 * min(floats)):
        return [readable(value) for value in values]
    decimals = max(0, _SIGNIFICANT - 1 - _magnitude(max(floats)), _SIGNIFICANT - 2 - _magnitude(min(floats)))
    return [fixed(value, decimals) if isinstance(value, float) else readable(value) for value in values]


def fixed(value: float | int, decimals: int) -> str:
    """A number with that many decimals; infinities and NaN are shown as such."""
    if isinstance(value, float) and not math.isfinite(value):
        text = "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"
    else:
        text = f"{value:,.{decimals}f}" if decimals or isinstance(value, float) else f"{value:,}"
        if float(text.replace(",", "")) == 0:
            text = text.removeprefix("-")
    return text.replace("-", "−")


def scientific(value: float) -> str:
    """A finite number as mantissa and power of ten, the mantissa left out where it is 1."""
    mantissa, exponent = f"{value:.{_SIGNIFICANT - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    power = "10" + str(int(exponent)).translate(_SUPERSCRIPTS)
    text = {"1": power, "-1": f"-{power}"}.get(mantissa, f"{mantissa} × {power}")
    return text.replace("-", "−")


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


def _magnitude(value: float) -> int:
    # Of the rounded value, so that 0.99996 counts as 1.000 and not as 0.99996.
    return int(f"{value:.{_SIGNIFICANT - 1}e}".split("e")[1])
