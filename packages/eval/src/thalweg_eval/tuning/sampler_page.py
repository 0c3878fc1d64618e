"""What a comparison of samplers found, as a report and as the table that is printed."""

from collections.abc import Mapping
from typing import Any

from thalweg_eval.report.model import Best, Cell, Chart, Curve, Page, Part, Table
from thalweg_eval.report.sections import facts_of, page_of, paragraphs
from thalweg_eval.tuning.page import cell, making, names_of, printed

_SECONDS = "seconds (wall time)"


def page(found: Mapping[str, Any]) -> Page:
    """The report.

    Args:
        found: what :func:`thalweg_eval.tuning.tune_sampler` returns.
    """
    curves, seeds = _curves(found), len(found["seeds"])
    return page_of(
        f"Samplers of {found['subject']}",
        f"{len(curves)} sampler{'s' if len(curves) > 1 else ''} at {len(found['points'])} costs, {seeds} "
        f"seed{'s' if seeds > 1 else ''} each, {_guidance(found)}.",
        [
            ("Over NFE", (*_charts(found), *paragraphs(*reading(found)))),
            ("Scores", (_table(found),)),
            ("How it was made", paragraphs(*making(found))),
        ],
        facts_of(found["made"], found["machines"], found["software"]),
    )


def rows(found: Mapping[str, Any]) -> list[list[str]]:
    """The table as texts, its header first; what is chosen is marked by ``*``."""
    header, body = _cells(found)
    return printed(header, body, found["chosen"]["name"])


def reading(found: Mapping[str, Any]) -> list[str]:
    """Which point is best, which is chosen and by what rule, and what is to be looked at."""
    texts = [str(found["verdict"])]
    if len(found["seeds"]) > 1:
        texts.append(
            f"{found['rule']} These are: {'; '.join(map(str, found['alike']))}. More seeds tell more of them "
            "apart."
        )
    texts += map(str, found["warnings"])
    if found["written"]:
        texts.append(f"The protocol with the chosen sampler is {found['written']}.")
    return texts


def _guidance(found: Mapping[str, Any]) -> str:
    guidance = found["guidance"]
    tables = guidance if isinstance(guidance, list) else [] if guidance in (None, "none") else [guidance]
    kinds = [str(one["type"] if isinstance(one, Mapping) else one) for one in tables]
    return f"guided by {' within '.join(kinds)}" if kinds else "unguided"


def _curves(found: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(one["curve"] for one in found["points"]))


def _charts(found: Mapping[str, Any]) -> list[Part]:
    several = len(found["seeds"]) > 1
    charts: list[Part] = []
    for name in names_of(found):
        curves = []
        for curve in _curves(found):
            # Two tolerances may take the same steps, and a line from a place to itself is not seen.
            places = {
                (float(one["nfe"]), float(one["numbers"][name]["mean"]))
                for one in found["points"]
                if one["curve"] == curve and one["nfe"] is not None
            }
            costs, values = zip(*sorted(places), strict=True) if places else ((), ())
            curves.append(Curve(curve, costs, values))
        higher = found["better"][name] == "higher"
        better = f"{'Higher' if higher else 'Lower'} is better{', mean over the seeds' if several else ''}."
        ratios = not higher and all(value > 0 for one in curves for value in one.values)
        charts.append(Chart(f"{name} over NFE", "NFE", name, tuple(curves), better, log_y=ratios, log_x=True))
    return charts


def _cells(found: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[Cell, ...]]]:
    first, *others = names_of(found)
    header = ("", "NFE", first, "less the best", *others, _SECONDS)
    body: list[tuple[Cell, ...]] = []
    for point in found["points"]:
        numbers = point["numbers"]
        is_best = point["name"] == found["best"]
        body.append(
            (
                point["name"],
                None if point["nfe"] is None else f"{point['nfe']:g}",
                cell(numbers[first]),
                None if is_best else cell(point["difference"][first]),
                *(cell(numbers[name]) for name in others),
                f"{point['seconds']:.3g}",
            )
        )
    return header, body


def _table(found: Mapping[str, Any]) -> Table:
    header, body = _cells(found)
    chosen = found["chosen"]["name"]
    body = [(f"{row[0]} (chosen)", *row[1:]) if row[0] == chosen else row for row in body]
    goals: list[Best] = ["max" if found["better"][name] == "higher" else "min" for name in names_of(found)]
    several = len(found["seeds"]) > 1
    best = (None, None, goals[0], None, *goals[1:], None)
    shared = "All begin at the same noise and labels, and are compared with the same reference."
    spread = (
        f"Mean over {len(found['seeds'])} seeds of the samples ± half of the 95 % confidence interval "
        "(Student's t); differences are taken seed by seed."
        if several
        else "One seed, so nothing is known of the spread."
    )
    seconds = (
        "Seconds are the wall time of sampling and scoring, whatever else ran on the machine, and of a point "
        "that was interrupted what remained of it; NFE is what does not depend on that."
    )
    return Table("", header, tuple(body), f"{spread} {shared} {seconds}", best=() if several else best)
