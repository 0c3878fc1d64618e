"""Which cells of a table differ from what they are compared with, by p-values corrected for their number."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from thalweg_eval.ablation.spread import Difference, paired

LEVEL = 0.05
"""A corrected p-value below it is a difference."""


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """P-values corrected for their number m, so that the chance of any false discovery is at most the level.

    In ascending order, p'_(i) = max_{j <= i} min(1, (m - j + 1) p_(j)) (S. Holm, *A simple sequentially
    rejective multiple test procedure*, 1979), which holds however they depend on each other. None, a
    comparison that could not be tested, counts among the m as a p-value of 1 would, and stays None.
    """
    count, largest = len(p_values), 0.0
    corrected: list[float | None] = [None] * count
    stated = [(p, place) for place, p in enumerate(p_values) if p is not None]
    for rank, (p, place) in enumerate(sorted(stated)):
        largest = max(largest, min(1.0, (count - rank) * p))
        corrected[place] = largest
    return corrected


def compare_cells(cells: Sequence[dict[str, Any]], better: Mapping[str, str | None]) -> int:
    """Write into each cell its ``difference`` to the cell that it is ``compared_with``, by number.

    A cell of which a run diverged is compared with none. A number without a direction that is the same in
    all runs of all cells is of the reference, such as the distances of the training images from each other,
    and is not compared.

    P-values are corrected in each number by itself: how many others a protocol computes beside the one that
    decides takes nothing from it.

    Args:
        cells: of ``results.json``, with ``name``, ``compared_with``, ``runs`` and ``diverged``.
        better: by name of a number, ``higher`` or ``lower``, or None where neither is.

    Returns:
        how many comparisons there are in each number.
    """
    by_name = {cell["name"]: _finals(cell) for cell in cells}
    same = unchanged(cells, better)
    names = next((list(numbers) for finals in by_name.values() for numbers in finals.values()), [])
    compared = [name for name in names if name not in same]
    for cell in cells:
        ours, theirs = by_name[cell["name"]], by_name.get(cell["compared_with"], {})
        shared = [seed for seed in ours if seed in theirs]
        cell["difference"] = {
            name: attrs.asdict(
                paired([ours[seed][name] for seed in shared], [theirs[seed][name] for seed in shared])
            )
            for name in compared
            if shared
        }
    return max((correct(of_number(cells, name)) for name in compared), default=0)


def unchanged(cells: Sequence[Mapping[str, Any]], better: Mapping[str, str | None]) -> dict[str, float]:
    """Numbers without a direction that are the same in all runs, as those of the reference alone are.

    Args:
        cells: as of :func:`compare_cells`.
        better: the same.
    """
    measured = [numbers for cell in cells for numbers in _finals(cell).values()]
    names = [name for name in (measured[0] if measured else ()) if not better.get(name)]
    values = {name: {numbers.get(name) for numbers in measured} for name in names}
    return {name: measured[0][name] for name, found in values.items() if len(found) == 1}


def of_number(cells: Sequence[Mapping[str, Any]], name: str | None) -> list[dict[str, Any]]:
    """The differences of these cells in a number."""
    return [cell["difference"][name] for cell in cells if name in cell["difference"]]


def correct(differences: Sequence[dict[str, Any]]) -> int:
    """Correct the p-values of these differences together.

    Returns:
        how many there are, of two seeds or more; one seed says nothing that could be tested.
    """
    tested = [one for one in differences if one["count"] > 1]
    for one, p in zip(tested, holm([one["p"] for one in tested]), strict=True):
        one["p_corrected"] = p
    return len(tested)


def verdict(difference: Difference, better: str | None) -> str:
    """``better``, ``worse`` or, of a number without a direction, ``other``; empty if no difference shows."""
    if difference.p_corrected is None or difference.p_corrected >= LEVEL:
        return ""
    if better is None:
        return "other"
    return "better" if (difference.mean > 0) == (better == "higher") else "worse"


def _finals(cell: Mapping[str, Any]) -> dict[int, Mapping[str, float]]:
    """The numbers of each seed after its last step."""
    if cell["diverged"]:
        return {}
    return {run["seed"]: run["scored"][-1]["numbers"] for run in cell["runs"]}
