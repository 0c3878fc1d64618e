"""An ablation's table, as a report and as Markdown."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from thalweg.ablation.spread import Spread
from thalweg.report import Chart, Curve, Picture, Report, Section, Table, Text
from thalweg.report.reach_table import reach_table
from thalweg.report.reaching import Scores


def page(found: Mapping[str, Any], pictures: Sequence[tuple[str, bytes]]) -> Report:
    """The report.

    Args:
        found: what :func:`thalweg.ablation.results.results` gives.
        pictures: a name and a whole PNG each, such as one grid of samples a cell.
    """
    table, caption = rows(found), _caption(found)
    header, body = table[0], table[1:]
    cells = tuple(tuple(row) for row in body)
    sections = [
        Section("Scores", (Table("Scores", tuple(header), cells, caption), Text("", _reading(found)))),
        Section("On the way", tuple(_curves(found))),
        Section(
            "Samples",
            tuple(
                Picture(name, png, "Of the first seed, not chosen; the same noise in every cell.")
                for name, png in pictures
            ),
        ),
        Section("How it was made", (Text("", _making(found)),)),
    ]
    return Report(
        title=f"Ablation: {found['name']}",
        subtitle=f"{len(found['cells'])} cells, {found['seeds']} seeds each.",
        sections=tuple(section for section in sections if section.parts),
        facts=tuple((name, str(version)) for name, version in found["software"]["packages"].items()),
    )


def rows(found: Mapping[str, Any]) -> list[list[str]]:
    """The table as texts, its header first."""
    names = list(next((cell["numbers"] for cell in found["cells"] if cell["numbers"]), {}))
    first = names[:1]
    head = ["", *names, *(f"{name}, less the first cell's" for name in first)]
    table = [[*head, "training s", "steps", "parameters", "GFLOP"]]
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
    lines = [
        f"# Ablation: {found['name']}",
        "",
        "| " + " | ".join(header) + " |",
        "|" + "---|" * len(header),
        *("| " + " | ".join(row) + " |" for row in body),
        "",
        _caption(found),
        "",
        *(f"{paragraph}\n" for paragraph in (*_reading(found), *_making(found))),
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


def _reading(found: Mapping[str, Any]) -> tuple[str, ...]:
    """Which cells differ from the first one by more than their interval, and which do not."""
    cells = [cell for cell in found["cells"] if cell["difference"]]
    if not cells:
        return ()
    metric = next(iter(cells[0]["difference"]))
    sure: list[str] = []
    unsure: list[str] = []
    for cell in cells:
        difference = Spread(**cell["difference"][metric])
        if difference.half_width is not None and abs(difference.mean) > difference.half_width:
            sure.append(f"{cell['name']} ({difference}{_verdict(found['better'].get(metric), difference)})")
        else:
            unsure.append(f"{cell['name']} ({difference})")
    first = found["cells"][0]["name"]
    texts = []
    if sure:
        texts.append(
            f"In {metric}, these differ from {first} by more than their interval: {'; '.join(sure)}."
        )
    if unsure:
        these = (
            f"These do not in {metric}"
            if sure
            else f"None of these is known to differ from {first} in {metric}"
        )
        texts.append(f"{these}, so nothing can be said of them: {'; '.join(unsure)}.")
    return tuple(texts)


def _verdict(better: str | None, difference: Spread) -> str:
    if better is None:
        return ""
    return ", better" if (difference.mean > 0) == (better == "higher") else ", worse"


def _making(found: Mapping[str, Any]) -> tuple[str, ...]:
    judge = found["judge"]
    shares = "the same steps" if found["equal"] == "steps" else "steps of the same computation in all"
    left = [
        f"{cell['name']} without {', '.join(cell['objectives_left_out'])}"
        for cell in found["cells"]
        if cell["objectives_left_out"]
    ]
    texts = [
        f"Every cell was trained for {shares} and judged under the protocol {judge['protocol']}"
        + (f" with {', '.join(judge['settings'])}." if judge["settings"] else "."),
        *([f"Objectives that a composition cannot serve were left out: {'; '.join(left)}."] if left else []),
        *(
            f"{cell['name']}: {' '.join(cell['overrides']) or 'the recipe as it is'}"
            for cell in found["cells"]
        ),
    ]
    if found["command"]:
        texts.append(f"Command: {found['command']}")
    return tuple(texts)


def _curves(found: Mapping[str, Any]) -> list[Chart | Table]:
    parts: list[Chart | Table] = []
    names = list(next((cell["numbers"] for cell in found["cells"] if cell["numbers"]), {}))
    for name in names:
        for axis, unit in (("step", "steps"), ("seconds", "seconds")):
            scores = [_mean(cell, axis, name) for cell in found["cells"] if cell["runs"]]
            if all(len(one.at) < 2 for one in scores):
                continue
            curves = tuple(Curve(one.name, one.at, one.values) for one in scores)
            caption = "Mean over the seeds."
            parts.append(Chart(f"{name} over {unit}", unit, name, curves, caption))
            parts += reach_table(scores, name, unit, higher=found["better"].get(name) == "higher")
    return parts


def _mean(cell: Mapping[str, Any], axis: str, name: str) -> Scores:
    """A metric over steps or seconds, averaged over the seeds."""
    columns = list(zip(*(run["judged"] for run in cell["runs"]), strict=True))
    at = tuple(fmean(one[axis] for one in column) for column in columns)
    return Scores(
        cell["name"], at, tuple(fmean(one["numbers"][name] for one in column) for column in columns)
    )
