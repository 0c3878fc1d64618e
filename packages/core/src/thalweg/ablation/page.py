"""An ablation's table, as a report and as Markdown."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from thalweg.ablation.reading import ranking, reading
from thalweg.ablation.spread import Spread
from thalweg.report import Chart, Curve, Picture, Report, Section, Table, Text
from thalweg.report.facts import facts
from thalweg.report.reach_table import reach_table
from thalweg.report.reaching import Scores
from thalweg.training.clock import TRAINING, times_in_words

_COSTS = ("training s", "steps", "parameters", "GFLOP")


def page(found: Mapping[str, Any], pictures: Sequence[tuple[str, bytes]]) -> Report:
    """The report.

    Args:
        found: what :func:`thalweg.ablation.results.results` gives.
        pictures: a name and a whole PNG each, such as one grid of samples a network.
    """
    table = rows(found)
    split = len(table[0]) - len(_COSTS)
    scores = Table(
        "", tuple(table[0][:split]), tuple(tuple(row[:split]) for row in table[1:]), _caption(found)
    )
    costs = tuple((row[0], *row[split:]) for row in table[1:])
    sections = [
        Section("Scores", (scores, *_text(*reading(found), *ranking(found)))),
        Section("On the way", tuple(_curves(found))),
        Section(
            "Samples",
            tuple(
                Picture(name, png, "Of the first seed, not chosen; the same noise in every picture.")
                for name, png in pictures
            ),
        ),
        Section("What it cost", (Table("", ("", *_COSTS), costs, ""), *_text(*_times(found)))),
        Section("How it was made", _text(*_making(found))),
    ]
    return Report(
        title=f"Ablation: {found['name']}",
        subtitle=f"{len(found['cells'])} cells, {found['seeds']} seeds each.",
        sections=tuple(section for section in sections if section.parts),
        facts=facts(found["made"], found["machines"], found["software"]),
    )


def _text(*paragraphs: str) -> tuple[Text, ...]:
    return (Text("", paragraphs),) if paragraphs else ()


def rows(found: Mapping[str, Any]) -> list[list[str]]:
    """The table as texts, its header first."""
    names = list(next((cell["numbers"] for cell in found["cells"] if cell["numbers"]), {}))
    first = names[:1]
    head = ["", *names, *(f"{name}, less the first cell's" for name in first)]
    table = [[*head, *_COSTS]]
    for cell in found["cells"]:
        table.append(
            [
                cell["name"],
                *(_spread(cell["numbers"].get(name)) for name in names),
                *(_spread(cell["difference"].get(name)) for name in first),
                _spread(cell["seconds"]),
                f"{cell['steps']:,}",
                f"{cell['parameters']:,}",
                f"{cell['gflop_forward']:.4g}",
            ]
        )
    return table


def markdown(found: Mapping[str, Any]) -> str:
    """The table and how it was made, as Markdown."""
    header, *body = ([text.replace("|", "\\|") for text in row] for row in rows(found))
    told = (*reading(found), *ranking(found), *_making(found), *_times(found))
    lines = [
        f"# Ablation: {found['name']}",
        "",
        "| " + " | ".join(header) + " |",
        "|" + "---|" * len(header),
        *("| " + " | ".join(row) + " |" for row in body),
        "",
        _caption(found),
        "",
        *(f"{paragraph}\n" for paragraph in told),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _spread(plain: Mapping[str, Any] | None) -> str:
    return "–" if plain is None else str(Spread(**plain))


def _caption(found: Mapping[str, Any]) -> str:
    counts = [len(cell["runs"]) for cell in found["cells"]]
    so_far = (
        "" if found["complete"] else f" So far {sum(counts)} of {len(counts) * found['seeds']} runs are done."
    )
    if found["seeds"] == 1:
        return f"One seed, so nothing is known of the spread.{so_far}"
    return (
        f"Mean over {found['seeds']} seeds ± half of the 95 % confidence interval (Student's t). "
        f"Differences are taken seed by seed.{so_far}"
    )


def _making(found: Mapping[str, Any]) -> tuple[str, ...]:
    judge = found["judge"]
    shares = "the same steps" if found["equal"] == "steps" else "steps of the same computation in all"
    left = [
        f"{cell['name']} without {', '.join(cell['objectives_left_out'])}"
        for cell in found["cells"]
        if cell["objectives_left_out"]
    ]
    networks = {cell["network"] for cell in found["cells"]}
    shared = len(networks) < len(found["cells"])
    texts = [
        f"Every cell was trained for {shares} and judged under the protocol {judge['protocol']}"
        + (f" with {', '.join(judge['settings'])}." if judge["settings"] else "."),
        *(
            [
                f"Cells that differ in how samples are drawn alone share a network under each seed, "
                f"{len(networks)} in all: it was trained once, and judged for each of them."
            ]
            if shared
            else []
        ),
        *([f"Objectives that a composition cannot serve were left out: {'; '.join(left)}."] if left else []),
        *(
            f"{cell['name']}: {' '.join(cell['overrides']) or 'the recipe as it is'}"
            + (f"; judged with {' '.join(cell['settings'])}" if cell["settings"] else "")
            for cell in found["cells"]
        ),
    ]
    if found["command"]:
        texts.append(f"Command: {found['command']}")
    return tuple(texts)


def _times(found: Mapping[str, Any]) -> tuple[str, ...]:
    """What the time of each network went to, over all of its seeds."""
    texts, seen = [], set[str]()
    for cell in found["cells"]:
        runs = [run for run in cell["runs"] if run["seconds"] is not None]
        if runs and cell["network"] not in seen:
            seen.add(cell["network"])
            names = dict.fromkeys(what for run in runs for what in run["beside"])
            beside = {what: sum(run["beside"].get(what, 0.0) for run in runs) for what in names}
            spent = {TRAINING: sum(run["seconds"] for run in runs), **beside}
            texts.append(f"{cell['network']}: {times_in_words(spent)}")
    if not texts:
        return ()
    return (f"What the time went to, over all seeds. {'; '.join(texts)}.",)


def _curves(found: Mapping[str, Any]) -> list[Chart | Table]:
    parts: list[Chart | Table] = []
    names = list(next((cell["numbers"] for cell in found["cells"] if cell["numbers"]), {}))
    timed = all(run["seconds"] is not None for cell in found["cells"] for run in cell["runs"])
    for name in names:
        tables: list[Table] = []
        for axis, unit, label in (
            ("step", "steps", "steps"),
            ("seconds", "seconds", "seconds of training"),
        ):
            if axis == "seconds" and not timed:
                continue
            scores = [_mean(cell, axis, name) for cell in found["cells"] if cell["runs"]]
            if all(len(one.at) < 2 for one in scores):
                continue
            curves = tuple(Curve(one.name, one.at, one.values) for one in scores)
            caption = "Mean over the seeds." if found["seeds"] > 1 else ""
            parts.append(Chart(f"{name} over {label}", label, name, curves, caption))
            tables += reach_table(scores, name, unit, higher=found["better"].get(name) == "higher")
        parts += tables
    return parts


def _mean(cell: Mapping[str, Any], axis: str, name: str) -> Scores:
    """A metric over steps or seconds, averaged over the seeds."""
    columns = list(zip(*(run["judged"] for run in cell["runs"]), strict=True))
    at = tuple(fmean(one[axis] for one in column) for column in columns)
    return Scores(
        cell["name"], at, tuple(fmean(one["numbers"][name] for one in column) for column in columns)
    )
