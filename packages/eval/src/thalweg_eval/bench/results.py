"""What a bench found on all of its data sets, as plain values: the content of results.json."""

import copy
from collections.abc import Mapping
from typing import Any

from thalweg_eval.ablation.controls import failed_controls
from thalweg_eval.ablation.significance import correct, of_number, verdict
from thalweg_eval.ablation.spread import Difference
from thalweg_eval.bench.config import Bench


def joint_results(bench: Bench, found: Mapping[str, Mapping[str, Any]], command: str) -> dict[str, Any]:
    """The tables of all data sets that are done, with the p-values of their first numbers corrected together.

    What is said of a method over several data sets rests on the comparisons of all of them, so each table by
    itself may mark more than it does here. Other numbers stay corrected within their own table.

    Args:
        bench: what was asked.
        found: by name of a data set, what its ablation found; those that are still to come are missing.
        command: how it was called.
    """
    data = copy.deepcopy({name: dict(one) for name, one in found.items()})
    comparisons = correct(
        [difference for one in data.values() for difference in of_number(one["cells"], first_number(one))]
    )
    for one in data.values():
        one["jointly"] = {"number": first_number(one), "comparisons": comparisons}
    made = sorted(when for one in data.values() for when in one["made"])
    return {
        "name": bench.name,
        "description": bench.description,
        "complete": len(data) == len(bench.ablations) and all(one["complete"] for one in data.values()),
        "to_come": [name for name in bench.ablations if name not in data],
        "comparisons": comparisons,
        "command": command,
        "made": [made[0], made[-1]] if made else [],
        "machines": sorted({where for one in data.values() for where in one["machines"]}),
        "software": next((one["software"] for one in reversed(data.values())), {}),
        "cells": list(dict.fromkeys(cell["name"] for one in data.values() for cell in one["cells"])),
        "outcomes": {name: _outcomes(one) for name, one in data.items()},
        "data": data,
    }


def first_number(found: Mapping[str, Any]) -> str | None:
    """The first number of a table that has a direction, by which methods win."""
    names: Mapping[str, Any] = next((cell["numbers"] for cell in found["cells"] if cell["numbers"]), {})
    return next((name for name in names if found["better"].get(name)), None)


def _outcomes(found: Mapping[str, Any]) -> dict[str, Any]:
    """What became of each cell in the first number.

    ``number``; ``controls_failed``; ``best``, the cell of the best mean, controls aside; and of each ``cell``
    that is compared one of ``better``, ``worse``, ``undecided`` (no difference shows), ``untested`` (there
    are too few seeds) and ``diverged``.
    """
    number = first_number(found)
    better = found["better"].get(number)
    controls = found["controls"]["held"] if found["controls"] else {}
    cells = {}
    for cell in found["cells"]:
        if cell["diverged"]:
            cells[cell["name"]] = "diverged"
        elif number in cell["difference"]:
            difference = Difference(**cell["difference"][number])
            cells[cell["name"]] = (
                "untested" if difference.count < 2 else verdict(difference, better) or "undecided"
            )
    means = {
        cell["name"]: cell["numbers"][number]["mean"]
        for cell in found["cells"]
        if number in cell["numbers"] and cell["name"] not in controls
    }
    sign = -1 if better == "higher" else 1
    return {
        "number": number,
        "controls_failed": failed_controls(found),
        "best": min(means, key=lambda name: sign * means[name], default=None),
        "cells": {name: outcome for name, outcome in cells.items() if name not in controls},
    }
