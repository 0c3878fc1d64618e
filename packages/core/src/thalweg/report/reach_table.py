"""How soon one run is as good as another: a table."""

from collections.abc import Sequence

from thalweg.report.model import Cell, Table
from thalweg.report.numbers import readable
from thalweg.report.reaching import Reach, Scores, reaching


def reach_table(runs: Sequence[Scores], number: str, unit: str, *, higher: bool) -> list[Table]:
    """Where each run is as good as each run at its best: a row a score to be reached, a column a run.

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
    for reach in reaching(runs, higher=higher):
        target = "no score" if reach.target is None else readable(float(reach.target))
        rows.append((f"{target}, {reach.name} at its best", *(_told(reach, name) for name in names)))
    return [
        Table(
            f"{unit.capitalize()} until {number} is as good as",
            ("", *names),
            tuple(rows),
            "Where each run is first as good as the run that a row names is at its best, and how many times "
            "sooner or later that is. Coarse by the distance between two evaluations.",
        )
    ]


def _told(reach: Reach, name: str) -> str:
    place, own = reach.places[name], reach.places[reach.name]
    if place is None:
        return "never"
    at = readable(int(place) if place == int(place) else float(place))
    if name == reach.name or own is None or not place or not own:
        return at
    ratio, late = f"{own / place:.2f}", f"{place / own:.2f}"
    if ratio == "1.00":
        return at
    return f"{at} ({ratio}× sooner)" if own > place else f"{at} ({late}× later)"
