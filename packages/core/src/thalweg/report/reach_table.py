"""How soon one run is as good as another: a table."""

from collections.abc import Sequence

from thalweg.report.model import Cell, Table
from thalweg.report.reaching import Scores, reaching


def reach_table(runs: Sequence[Scores], number: str, unit: str, *, higher: bool) -> list[Table]:
    """How many times fewer steps, or seconds, each run needs to reach each other's best score.

    Args:
        runs: of names that differ.
        number: what the score is called.
        unit: ``steps`` or ``seconds``.
        higher: whether more is better.

    Returns:
        the table; nothing for a single run.
    """
    if len(runs) < 2:
        return []
    names = [run.name for run in runs]
    rows: list[tuple[Cell, ...]] = []
    for name, best, at, ratios in reaching(runs, higher=higher):
        cells = [_times(ratios[other]) if other != name else "" for other in names]
        rows.append((name, best, at, *cells))
    return [
        Table(
            f"{unit.capitalize()} to reach {number}",
            ("", f"best {number}", f"{unit} there", *(f"{name} gets there" for name in names)),
            tuple(rows),
            f"How many times fewer {unit} the run of a column needs to be as good as the run of a row at its "
            "best: below 1 it needs more; 'never' says that it did not get there. Coarse by the distance "
            "between two judgements.",
        )
    ]


def _times(ratio: float | None) -> str:
    if ratio is None:
        return "never"
    told = f"{ratio:.2f}"
    return "as soon" if told == "1.00" else f"{told} times sooner" if ratio > 1 else told
