"""What a tuning found, as a report and as the table that is printed."""

from collections.abc import Mapping, Sequence
from typing import Any

from thalweg_eval.ablation.spread import Spread
from thalweg_eval.report.model import Best, Cell, Chart, Curve, Page, Part, Table
from thalweg_eval.report.numbers import MISSING, readable
from thalweg_eval.report.sections import facts_of, page_of, paragraphs

_AXES = ("scale", "strength")


def page(found: Mapping[str, Any]) -> Page:
    """The report.

    Args:
        found: what :func:`thalweg_eval.tuning.tune_guidance` returns.
    """
    fit = found["fit"]
    several = len(found["seeds"]) > 1
    return page_of(
        f"Guidance of {found['subject']}",
        f"{found['method']['type']}, {len(found['points'])} ways of sampling one network, "
        f"{len(found['seeds'])} seed{'s' if several else ''} each.",
        [
            ("Scores", (_table(found["points"], found), *paragraphs(*reading(found)))),
            ("Over the scan", _charts(found)),
            ("Fitted weights", () if fit is None else _fitted(fit, found)),
            ("How it was made", paragraphs(*making(found))),
        ],
        facts_of(found["made"], found["machines"], found["software"]),
    )


def rows(found: Mapping[str, Any]) -> list[list[str]]:
    """The table as texts, its header first; the best of the chosen number is marked by ``*``."""
    header, body = _cells(found["points"], found)
    return printed(header, body, found["best"]["name"])


def printed(header: Sequence[str], body: Sequence[Sequence[Cell]], marked: str) -> list[list[str]]:
    """A table as texts; the row of the name that is ``marked`` gets a ``*``."""
    return [
        list(header),
        *(
            [
                f"{row[0]}{' *' if row[0] == marked else ''}",
                *(
                    one if isinstance(one, str) else MISSING if one is None else f"{one:.6g}"
                    for one in row[1:]
                ),
            ]
            for row in body
        ),
    ]


def reading(found: Mapping[str, Any]) -> list[str]:
    """Which point is best, how sure that is, and what is to be looked at."""
    texts = [str(found["verdict"]), *map(str, found["warnings"])]
    fit = found["fit"]
    if fit is not None:
        texts.append(_overfitting(fit, found))
    else:
        several = len(found["seeds"]) > 1
        interval = ", and its interval is of one point and not of the best of several" if several else ""
        texts.append(
            f"The best of {len(found['points'])} was chosen on the noise that it is shown for, which "
            f"flatters it a little{interval}: evaluate it under seeds of its own before relying on it."
        )
    if found["written"]:
        texts.append(f"The protocol with it is {found['written']}.")
    return texts


def _cells(
    points: Sequence[Mapping[str, Any]], found: Mapping[str, Any]
) -> tuple[tuple[str, ...], list[tuple[Cell, ...]]]:
    first, *others = names_of(found)
    header = ("", first, "less unguided", "NFE", *others)
    body: list[tuple[Cell, ...]] = []
    for place, point in enumerate(points):
        numbers, nfe = point["numbers"], point["nfe"]
        body.append(
            (
                point["name"],
                cell(numbers[first]),
                None if place == 0 else cell(point["difference"][first]),
                None if nfe is None else f"{nfe:g}",
                *(cell(numbers[name]) for name in others),
            )
        )
    return header, body


def _table(points: Sequence[Mapping[str, Any]], found: Mapping[str, Any], title: str = "") -> Table:
    header, body = _cells(points, found)
    goals: list[Best] = ["max" if found["better"][name] == "higher" else "min" for name in names_of(found)]
    best = (None, goals[0], None, None, *goals[1:])
    unguided = tuple(place for place, point in enumerate(points) if not point["guidance"])
    several = len(found["seeds"]) > 1
    return Table(
        title, header, tuple(body), _caption(found), best=() if several else best, reference=unguided
    )


def _caption(found: Mapping[str, Any]) -> str:
    shared = "All begin at the same noise and labels, and are compared with the same reference."
    if len(found["seeds"]) == 1:
        return f"One seed, so nothing is known of the spread. {shared}"
    return (
        f"Mean over {len(found['seeds'])} seeds of the samples ± half of the 95 % confidence interval "
        f"(Student's t); differences are taken seed by seed. {shared}"
    )


def _charts(found: Mapping[str, Any]) -> list[Part]:
    charts: list[Part] = []
    for axis in _AXES:
        points = [one for one in found["points"] if one["axis"] == axis]
        for name in names_of(found) if points else ():
            along = [one["at"] for one in points]
            curves = []
            for flat in (one for one in found["points"] if not one["axis"]):
                mean = flat["numbers"][name]["mean"]
                curves.append(Curve(flat["name"], (min(along), max(along)), (mean, mean)))
            for curve in dict.fromkeys(one["curve"] for one in points):
                mine = [one for one in points if one["curve"] == curve]
                means = [one["numbers"][name]["mean"] for one in mine]
                curves.append(Curve(curve, [one["at"] for one in mine], means))
            better = "Higher is better." if found["better"][name] == "higher" else "Lower is better."
            caption = f"{better} Mean over the seeds." if len(found["seeds"]) > 1 else better
            charts.append(Chart(f"{name} over {axis}", axis, name, tuple(curves), caption))
    return charts


def _fitted(fit: Mapping[str, Any], found: Mapping[str, Any]) -> list[Part]:
    target = fit["target"]
    weights = tuple(
        (f"after {depth} blocks", start, fitted)
        for depth, start, fitted in zip(fit["heads"], fit["start"], fit["weights"], strict=True)
    )
    lowest = [min(fit["values"][: place + 1]) for place in range(len(fit["values"]))]
    steps = list(range(1, len(lowest) + 1))
    tried = Chart(
        f"{target} while weights are fitted",
        "evaluation",
        target,
        (Curve("lowest so far", steps, lowest), Curve("tried", steps, fit["values"])),
        f"On the noise of seed {fit['seed']}, the same in every evaluation.",
    )
    compared = _table(
        fit["points"],
        found,
        f"On fresh noise, seed{'s' if len(fit['fresh_seeds']) > 1 else ''} "
        f"{', '.join(map(str, fit['fresh_seeds']))}",
    )
    where = Table(
        f"{target} where it was fitted and on fresh noise",
        ("", f"seed {fit['seed']}, of the fit", "fresh noise"),
        tuple(
            (one["name"], one["target_where_fitted"], cell(one["numbers"][target])) for one in fit["points"]
        ),
        "What the fit gains on its own noise alone is not a gain.",
    )
    return [
        Table("Weights", ("head", "calibrated, averaged over time", "fitted"), weights, ""),
        compared,
        where,
        tried,
    ]


def _overfitting(fit: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    target = fit["target"]
    before, after = fit["values"][0], min(fit["values"])
    shown = "; ".join(f"{one['name']}: {Spread(**one['numbers'][target])}" for one in fit["points"])
    return (
        f"Fitting took {target} from {readable(float(before))} to {readable(float(after))} on its own noise, "
        f"in {len(fit['values'])} evaluations. On noise that nothing was chosen on: {shown}. In "
        f"{found['by']} {fit['winner']} wins there."
    )


def making(found: Mapping[str, Any]) -> list[str]:
    """Protocol, network and command of a tuning, in words."""
    protocol = found["protocol"]
    changed = f" with {' '.join(protocol['settings'])}" if protocol["settings"] else ""
    texts = [
        f"Protocol {protocol['name']}{changed}, {found['count']:,} samples, seed"
        f"{'s' if len(found['seeds']) > 1 else ''} {', '.join(map(str, found['seeds']))}; network "
        f"{found['network']['checkpoint'][:12]}"
        + (f" at step {found['network']['step']:,}." if found["network"]["step"] else ".")
    ]
    return [*texts, f"Command: {found['command']}"] if found["command"] else texts


def names_of(found: Mapping[str, Any]) -> list[str]:
    """Of the numbers that rank, the one that is chosen by first."""
    names = [name for name, better in found["better"].items() if better]
    return sorted(names, key=lambda name: name != found["by"])


def cell(plain: Mapping[str, Any]) -> Cell:
    """A spread in plain values as a table has it."""
    spread = Spread(**plain)
    return spread.mean if spread.half_width is None else str(spread)
