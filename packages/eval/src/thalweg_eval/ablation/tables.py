"""An ablation's tables as texts: what cells scored and cost, and how they differ."""

from collections.abc import Mapping
from typing import Any

from thalweg_eval.ablation.significance import LEVEL, unchanged, verdict
from thalweg_eval.ablation.spread import Difference, Spread
from thalweg_eval.report.numbers import MISSING

COSTS = ("NFE", "training s", "steps", "parameters", "GFLOP")
"""The last columns of :func:`rows`."""

MARK = "*"
"""Behind a difference that is one."""


def rows(found: Mapping[str, Any]) -> list[list[str]]:
    """The table of scores and costs, its header first.

    Args:
        found: what :func:`thalweg_eval.ablation.results.results` gives.
    """
    names = names_of(found)
    table = [["", *names, *COSTS]]
    for cell in found["cells"]:
        table.append(
            [
                cell["name"],
                *(_spread(cell["numbers"].get(name)) for name in names),
                MISSING if cell["nfe"] is None else f"{cell['nfe']:.4g}",
                _spread(cell["seconds"]),
                f"{cell['steps']:,}",
                f"{cell['parameters']:,}",
                f"{cell['gflop_forward']:.4g}",
            ]
        )
    return table


def difference_rows(found: Mapping[str, Any]) -> list[list[str]]:
    """The table of differences, its header first; nothing if there are none."""
    names = compared_names(found)
    if not names:
        return []
    table = [["", "compared with", *names]]
    for cell in found["cells"]:
        if cell["compared_with"] is not None:
            differences = (cell["difference"].get(name) for name in names)
            texts = [MISSING if one is None else difference_text(Difference(**one)) for one in differences]
            table.append([cell["name"], cell["compared_with"], *texts])
    return table


def difference_text(difference: Difference) -> str:
    """A difference with its mark, if it is one."""
    return f"{difference}{f' {MARK}' if verdict(difference, None) else ''}"


def names_of(found: Mapping[str, Any]) -> list[str]:
    """Of the numbers, without those that are the same in all runs."""
    same = _the_same(found)
    names = next((list(cell["numbers"]) for cell in found["cells"] if cell["numbers"]), [])
    return [name for name in names if name not in same]


def _the_same(found: Mapping[str, Any]) -> dict[str, float]:
    """Numbers that no run changes; nothing while one cell alone is scored, as any number is the same then."""
    scored = [cell for cell in found["cells"] if cell["numbers"]]
    return unchanged(scored, found["better"]) if len(scored) > 1 else {}


def compared_names(found: Mapping[str, Any]) -> list[str]:
    """Of the numbers that are compared."""
    return list(next((cell["difference"] for cell in found["cells"] if cell["difference"]), {}))


def caption(found: Mapping[str, Any]) -> str:
    """What the numbers of :func:`rows` are, and how many runs they are of."""
    counts = [len(cell["runs"]) + len(cell["diverged"]) for cell in found["cells"]]
    so_far = (
        "" if found["complete"] else f" So far {sum(counts)} of {len(counts) * found['seeds']} runs are done."
    )
    same = ", ".join(f"{name} {Spread(one, None, 1)}" for name, one in _the_same(found).items())
    same = f" The same in all runs: {same}." if same else ""
    if found["seeds"] == 1:
        return f"One seed, so nothing is known of the spread.{same}{so_far}"
    mean = f"Mean over {found['seeds']} seeds ± half of the 95 % confidence interval (Student's t)."
    return f"{mean}{same}{so_far}"


def difference_caption(found: Mapping[str, Any]) -> str:
    """What the differences are, and which are marked."""
    if found["seeds"] == 1:
        return "With one seed there is no p-value: any of these may be chance."
    return (
        f"Differences are taken seed by seed; ± half of the 95 % confidence interval of each by itself. "
        f"Those with {MARK} have p < {LEVEL:g} by the paired t-test after Holm's correction for "
        f"{corrected_for(found)}."
    )


def corrected_for(found: Mapping[str, Any]) -> str:
    """For how many comparisons p-values are corrected; a bench's first number for those of all data sets."""
    own, jointly = counted(found["comparisons"], "comparison"), found.get("jointly")
    if jointly is None:
        return f"{own} in the same number"
    return (
        f"{jointly['comparisons']:,} in {jointly['number']} over all data sets, and {own} in any other number"
    )


def counted(number: int, noun: str) -> str:
    """A number of things."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _spread(plain: Mapping[str, Any] | None) -> str:
    return MISSING if plain is None else str(Spread(**plain))
