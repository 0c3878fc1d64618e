"""How soon runs are as good as the first of them: a table."""

from collections.abc import Sequence

from thalweg.report.model import Best, Cell, Table
from thalweg.report.numbers import readable
from thalweg.report.reaching import Scores, best, reached


def reach_table(runs: Sequence[Scores], number: str, unit: str, *, higher: bool) -> list[Table]:
    """Where each run is as good as the first one at its best, a row a run.

    Args:
        runs: of names that differ; the others are compared with the first.
        number: what the score is called.
        unit: ``steps`` or ``seconds``.
        higher: whether more is better.

    Returns:
        the table; nothing for a single run, or if the first has no score.
    """
    target = best(runs[0], higher=higher) if len(runs) > 1 else None
    if target is None:
        return []
    first = runs[0].name
    own = reached(runs[0], target, higher=higher)
    rows: list[tuple[Cell, ...]] = []
    for run in runs:
        place, its_best = reached(run, target, higher=higher), best(run, higher=higher)
        until = None if its_best is None else reached(run, its_best, higher=higher)
        against = "" if run.name == first else _against(place, own)
        rows.append((run.name, "never" if place is None else _place(place), against, its_best, _place(until)))
    way: Best = "max" if higher else "min"
    return [
        Table(
            f"{unit.capitalize()} until {number} is {readable(float(target))}, the best of {first}",
            ("", unit, f"against {first}", "own best", f"{unit} until that"),
            tuple(rows),
            "Coarse by the distance between two evaluations.",
            best=(None, "min", None, way, None),
        )
    ]


def _place(at: float | None) -> Cell:
    """Steps as whole numbers."""
    return int(at) if at is not None and at == int(at) else at


def _against(place: float | None, own: float | None) -> str:
    if place is None or not place or not own:
        return ""
    sooner, later = f"{own / place:.2f}", f"{place / own:.2f}"
    if "1.00" in (sooner, later):
        return "as soon"
    return f"{sooner} times sooner" if own > place else f"{later} times later"
