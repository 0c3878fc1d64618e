"""Which runs' losses can be compared."""

import json
from collections.abc import Sequence

from thalweg.config import flat
from thalweg.report.runs import Run

VELOCITY = ("data", "interpolant", "plan")
"""On which the size of a velocity error depends, whatever the network: images, path, pairs, times. (The gap
between branches does not count: it is small.)"""

LOSS = (*VELOCITY, "plan.max_time_gap", "branches", "objectives")
"""On which the size of a loss depends beside: which terms it sums, and for how many branches."""

_GAP = ".max_time_gap"


def comparable(runs: Sequence[Run], keys: Sequence[str]) -> list[tuple[str, list[Run]]]:
    """The runs in groups that agree in these keys of their configurations.

    Returns:
        for each group the names of its runs, empty where there is one group alone, and the runs.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(_stated(run, keys), []).append(run)
    if len(groups) == 1:
        return [("", list(runs))]
    return [(", ".join(run.name for run in group), group) for group in groups.values()]


def _stated(run: Run, keys: Sequence[str]) -> str:
    leaves = {
        name: value
        for name, value in flat(run.config).items()
        if name in keys
        or (not name.endswith(_GAP) and any(name == key or name.startswith(f"{key}.") for key in keys))
    }
    return json.dumps(leaves, sort_keys=True, default=str)
