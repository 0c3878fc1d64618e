"""The joint page of a bench: which method wins where, then the tables of each data set."""

from collections.abc import Mapping, Sequence
from typing import Any

from thalweg_eval.ablation.page import markdown_table, said, score_tables
from thalweg_eval.ablation.reading import listed
from thalweg_eval.ablation.significance import LEVEL
from thalweg_eval.ablation.spread import Difference, p_in_words
from thalweg_eval.ablation.tables import caption, counted, difference_caption, difference_rows, rows
from thalweg_eval.report.model import Page, Part, Table
from thalweg_eval.report.numbers import MISSING
from thalweg_eval.report.sections import facts_of, page_of, paragraphs

_WORDS = {
    "better": "better",
    "worse": "worse",
    "undecided": "no difference shows",
    "untested": "not tested",
    "diverged": "diverged",
}


def page(found: Mapping[str, Any]) -> Page:
    """The report.

    Args:
        found: what :func:`thalweg_eval.bench.results.joint_results` gives.
    """
    table = [tuple(row) for row in outcome_rows(found)]
    first = Table("", table[0], tuple(table[1:]), outcome_caption(found))
    sections: list[tuple[str, Sequence[Part]]] = [
        ("Which method wins where", (first, *paragraphs(*conclusions(found))))
    ]
    for name, one in found["data"].items():
        sections.append((f"On {name}", (*score_tables(one, f" on {name}"), *paragraphs(*said(one)))))
    sections.append(("How it was made", paragraphs(*making(found))))
    facts = facts_of(found["made"], found["machines"], found["software"])
    return page_of(f"Bench: {found['name']}", found["description"], sections, facts)


def markdown(found: Mapping[str, Any]) -> str:
    """The same as Markdown."""
    lines = [f"# Bench: {found['name']}", "", *_filled(found["description"])]
    lines += [*markdown_table(outcome_rows(found)), "", outcome_caption(found), ""]
    lines += [f"{text}\n" for text in conclusions(found)]
    for name, one in found["data"].items():
        lines += [f"## On {name}", "", *markdown_table(rows(one)), "", caption(one), ""]
        differences = difference_rows(one)
        if differences:
            lines += [*markdown_table(differences), "", difference_caption(one), ""]
        lines += [f"{text}\n" for text in said(one)]
    lines += ["## How it was made", "", *(f"{text}\n" for text in making(found))]
    return "\n".join(lines).rstrip() + "\n"


def outcome_rows(found: Mapping[str, Any]) -> list[list[str]]:
    """A row a cell and a column a data set, its header first: what became of each in the first number."""
    data = found["data"]
    table = [["", *(f"{name}, {found['outcomes'][name]['number'] or 'no score'}" for name in data)]]
    for cell in found["cells"]:
        table.append([cell, *(_entry(one, found["outcomes"][name], cell) for name, one in data.items())])
    return table


def outcome_caption(found: Mapping[str, Any]) -> str:
    """What the entries are."""
    comparisons = counted(found["comparisons"], "comparison")
    return (
        f"Each cell less the one that it is compared with, on each data set in its first score. Better or "
        f"worse: p < {LEVEL:g} by the paired t-test after Holm's correction for {comparisons} on all data "
        f"sets together, so that the report of one data set may mark more."
    )


def conclusions(found: Mapping[str, Any]) -> list[str]:
    """Which method wins where and which does not, in words; where a control failed, nothing is concluded."""
    texts = []
    if not found["complete"]:
        missing = f" {listed(found['to_come'])} still to come." if found["to_come"] else ""
        texts.append(f"This bench is not complete, and what is said here may change.{missing}")
    valid = {}
    for name, outcome in found["outcomes"].items():
        if outcome["controls_failed"]:
            texts.append(
                f"On {name} the control {listed(outcome['controls_failed'])} did not come last, so methods "
                f"cannot be told apart there and nothing is concluded."
            )
        else:
            valid[name] = outcome["cells"]
            texts.append(_on_one(name, outcome))
    if len(valid) > 1:
        texts.append(_over_all(valid))
    return texts


def making(found: Mapping[str, Any]) -> list[str]:
    """Where the rest is told, and the command."""
    where = "; ".join(f"{name}: {name}/report.html" for name in found["data"])
    texts = [
        f"Each data set has an ablation of its own, whose report tells how it was made. {where}.",
        "P-values of the first score are corrected for the comparisons of all data sets of this page, those "
        "of other scores for the ones in the same score on the same data set.",
    ]
    return [*texts, f"Command: {found['command']}"] if found["command"] else texts


def _on_one(name: str, outcome: Mapping[str, Any]) -> str:
    number, cells = outcome["number"], outcome["cells"]
    if number is None:
        return f"On {name} no number says whether higher or lower is better, so no method wins."
    by = {word: [cell for cell, found in cells.items() if found == word] for word in _WORDS}
    texts = [f"On {name}, by {number}, the best mean is that of {outcome['best']}."]
    if by["better"]:
        texts.append(f"Better than what they are compared with: {listed(by['better'])}.")
    elif cells:
        texts.append("No method is known to be better than what it is compared with.")
    if by["worse"]:
        texts.append(f"Worse: {listed(by['worse'])}.")
    if by["undecided"]:
        texts.append(f"No difference shows: {listed(by['undecided'])}.")
    if by["diverged"]:
        texts.append(f"Diverged: {listed(by['diverged'])}.")
    if by["untested"]:
        texts.append(f"Not tested, for want of seeds: {listed(by['untested'])}.")
    return " ".join(texts)


def _over_all(valid: Mapping[str, Mapping[str, str]]) -> str:
    """How often each method was better and worse, the most wins first, those without any included."""
    tallies: dict[str, list[str]] = {}
    for cells in valid.values():
        for cell, outcome in cells.items():
            tallies.setdefault(cell, []).append(outcome)
    ranked = sorted(tallies.items(), key=lambda one: one[1].count("worse") - one[1].count("better"))
    texts = [
        f"{cell}: better on {found.count('better')}, worse on {found.count('worse')} of {len(found)}"
        for cell, found in ranked
    ]
    return f"Over the data sets: {'; '.join(texts)}."


def _entry(one: Mapping[str, Any], outcome: Mapping[str, Any], name: str) -> str:
    cell = next((cell for cell in one["cells"] if cell["name"] == name), None)
    if cell is None:
        return MISSING
    if cell["diverged"]:
        return _WORDS["diverged"]
    if cell["compared_with"] is None:
        return "baseline"
    if outcome["number"] not in cell["difference"]:
        return MISSING
    difference = Difference(**cell["difference"][outcome["number"]])
    p = "" if difference.p_corrected is None else f", p {p_in_words(difference.p_corrected)}"
    said_of = outcome["cells"].get(name)
    return f"{'control' if said_of is None else _WORDS[said_of]} ({difference}{p})"


def _filled(text: str) -> list[str]:
    return [text, ""] if text else []
