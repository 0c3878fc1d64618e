"""An ablation's tables with what they say, as a report and as Markdown."""

from collections.abc import Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Any

from thalweg_eval.ablation.controls import controls_in_words
from thalweg_eval.ablation.making import making, times
from thalweg_eval.ablation.reading import ranking, reading
from thalweg_eval.ablation.tables import (
    COSTS,
    caption,
    difference_caption,
    difference_rows,
    names_of,
    rows,
)
from thalweg_eval.report.model import Curve, Page, Part, Picture, Table
from thalweg_eval.report.run_page import score_chart
from thalweg_eval.report.sections import AxisName, facts_of, over_training, page_of, paragraphs

_SHOWN_COSTS = 2
"""Of the costs, those beside the scores: NFE and seconds of training."""


def page(found: Mapping[str, Any], pictures: Sequence[tuple[str, bytes]]) -> Page:
    """The report.

    Args:
        found: what :func:`thalweg_eval.ablation.results.results` gives.
        pictures: a name and a whole PNG each, such as one grid of samples a network.
    """
    costs = [(row[0], *row[-len(COSTS) :]) for row in rows(found)]
    of_pictures = "Of the first seed, not chosen; the same noise in every picture."
    return page_of(
        f"Ablation: {found['name']}",
        f"{len(found['cells'])} cells, {found['seeds']} seeds each.",
        [
            ("Scores", (*score_tables(found), *paragraphs(*said(found)))),
            ("During training", _curves(found)),
            ("Samples", [Picture(name, png, of_pictures) for name, png in pictures]),
            ("What it cost", (Table("", costs[0], tuple(costs[1:]), ""), *paragraphs(*times(found)))),
            ("How it was made", paragraphs(*making(found))),
        ],
        facts_of(found["made"], found["machines"], found["software"]),
    )


def score_tables(found: Mapping[str, Any], where: str = "") -> tuple[Table, ...]:
    """Scores with NFE and seconds of training, then differences.

    Args:
        found: as of :func:`page`.
        where: goes into the second one's title, where a page has several such pairs.
    """
    beside = len(COSTS) - _SHOWN_COSTS
    scores = [tuple(row[:-beside]) for row in rows(found)]
    differences = [tuple(row) for row in difference_rows(found)]
    tables = [Table("", scores[0], tuple(scores[1:]), caption(found))]
    if differences:
        tables.append(
            Table(f"Differences{where}", differences[0], tuple(differences[1:]), difference_caption(found))
        )
    return tuple(tables)


def said(found: Mapping[str, Any]) -> tuple[str, ...]:
    """All that the tables say; a control that failed comes first, as it takes the rest away."""
    return (*controls_in_words(found), *reading(found), *ranking(found))


def markdown(found: Mapping[str, Any]) -> str:
    """The tables and how they were made, as Markdown."""
    lines = [f"# Ablation: {found['name']}", "", *markdown_table(rows(found)), "", caption(found), ""]
    differences = difference_rows(found)
    if differences:
        lines += [*markdown_table(differences), "", difference_caption(found), ""]
    lines += [f"{paragraph}\n" for paragraph in (*said(found), *making(found), *times(found))]
    return "\n".join(lines).rstrip() + "\n"


def markdown_table(table: Sequence[Sequence[str]]) -> list[str]:
    """A table of texts, its header first, as lines of Markdown."""
    lines = ["| " + " | ".join(text.replace("|", "\\|") for text in row) + " |" for row in table]
    return [lines[0], "|" + "---|" * len(table[0]), *lines[1:]]


def _curves(found: Mapping[str, Any]) -> list[Part]:
    parts: list[Part] = []
    cells = [cell for cell in found["cells"] if cell["runs"] and not cell["diverged"]]
    of_curves = "Mean over the seeds." if found["seeds"] > 1 else ""
    timed = all(run["seconds"] is not None for cell in cells for run in cell["runs"])
    for name in names_of(found):

        def over(axis: AxisName, name: str = name) -> list[Curve]:
            curves = [_mean(cell, axis, name) for cell in cells if timed or axis == "step"]
            return curves if any(len(one.steps) > 1 for one in curves) else []

        higher = found["better"].get(name) == "higher"
        parts += over_training(name, over, partial(score_chart, name, of_curves), higher=higher)
    return parts


def _mean(cell: Mapping[str, Any], axis: AxisName, name: str) -> Curve:
    """A metric over steps or seconds, averaged over the seeds."""
    columns = list(zip(*(run["scored"] for run in cell["runs"]), strict=True))
    at = [fmean(one[axis] for one in column) for column in columns]
    return Curve(cell["name"], at, [fmean(one["numbers"][name] for one in column) for column in columns])
