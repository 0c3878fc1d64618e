"""What an ablation found, as plain values: the content of results.json."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from thalweg.ablation.config import Ablation
from thalweg.ablation.planning import Planned
from thalweg.ablation.spread import Spread, paired, spread
from thalweg.config import dump


@attrs.frozen
class Judged:
    """What the judge said of one run after one step.

    Attributes:
        step: how far the run was.
        seconds: of training alone until there.
        numbers: by name of the metric.
        passport: file of the whole passport, relative to the ablation's folder.
    """

    step: int
    seconds: float
    numbers: Mapping[str, float]
    passport: str


@attrs.frozen(eq=False)
class Outcome:
    """One run, trained and judged.

    Attributes:
        planned: what it is.
        beside: seconds of its run that went to anything but training, by what.
        judged: after each step that was asked for.
    """

    planned: Planned
    beside: Mapping[str, float]
    judged: Sequence[Judged]

    @property
    def seconds(self) -> float:
        """Of training."""
        return self.judged[-1].seconds


def results(
    ablation: Ablation, runs: Sequence[Planned], outcomes: Sequence[Outcome], **more: Any
) -> dict[str, Any]:
    """Everything, also while some runs are still to come.

    Args:
        ablation: what was asked.
        runs: all that are planned.
        outcomes: of those that are done.
        more: worth keeping beside it, such as the command and the versions.
    """
    names = [cell.name for cell in ablation.cells]
    by_cell = {name: [one for one in outcomes if one.planned.cell == name] for name in names}
    baseline = by_cell[names[0]]
    return {
        "name": ablation.name,
        "recipe": ablation.recipe.name,
        "overrides": list(ablation.overrides),
        "equal": ablation.equal,
        "seeds": ablation.seeds,
        "judge": dump(ablation.judge),
        "complete": len(outcomes) == len(runs),
        **more,
        "cells": [
            _cell(
                cell.overrides, [run for run in runs if run.cell == cell.name], by_cell[cell.name], baseline
            )
            for cell in ablation.cells
        ],
    }


def _cell(
    overrides: tuple[str, ...],
    runs: Sequence[Planned],
    outcomes: Sequence[Outcome],
    baseline: Sequence[Outcome],
) -> dict[str, Any]:
    first = runs[0]
    done = [one.planned.seed for one in outcomes]
    shared = [one for one in baseline if one.planned.seed in done]
    same = [one for one in outcomes if one.planned.seed in [other.planned.seed for other in shared]]
    names = list(outcomes[0].judged[-1].numbers) if outcomes else []
    return {
        "name": first.cell,
        "overrides": list(overrides),
        "network": first.network,
        "settings": list(first.settings),
        "steps": first.judged[-1],
        "parameters": first.parameters,
        "gflop_forward": first.gflop,
        "objectives_left_out": list(first.left_out),
        "seconds": _plain(spread([one.seconds for one in outcomes])) if outcomes else None,
        "numbers": {name: _plain(spread(_final(outcomes, name))) for name in names},
        "difference": {
            name: _plain(paired(_final(same, name), _final(shared, name)))
            for name in names
            if shared and first.cell != baseline[0].planned.cell
        },
        "runs": [
            {
                "seed": one.planned.seed,
                "seconds": one.seconds,
                "beside": dict(one.beside),
                "judged": [attrs.asdict(j) for j in one.judged],
            }
            for one in outcomes
        ],
    }


def _final(outcomes: Sequence[Outcome], name: str) -> list[float]:
    return [one.judged[-1].numbers[name] for one in outcomes]


def _plain(numbers: Spread) -> dict[str, Any]:
    return attrs.asdict(numbers)
