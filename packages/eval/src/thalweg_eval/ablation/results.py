"""What an ablation found, as plain values: the content of results.json."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from thalweg.config import dump
from thalweg_eval.ablation.config import Ablation
from thalweg_eval.ablation.controls import check_controls
from thalweg_eval.ablation.pace import PacedCell
from thalweg_eval.ablation.planning import Planned
from thalweg_eval.ablation.significance import compare_cells
from thalweg_eval.ablation.spread import spread


@attrs.frozen
class StepScore:
    """The scores of one run after one step.

    Attributes:
        step: how far the run was.
        seconds: of training alone until there.
        numbers: by name of the metric.
        passport: file of the whole passport, relative to the ablation's folder.
        nfe: evaluations of the network for each sample; None where that is not known.
        noise: seed of the samples' noise; None where that is not known.
    """

    step: int
    seconds: float
    numbers: Mapping[str, float]
    passport: str
    nfe: float | None = None
    noise: int | None = None


@attrs.frozen(eq=False)
class RunOutcome:
    """One run, trained and scored, or ended by itself.

    Attributes:
        planned: what it is.
        beside: seconds of its run that went to anything but training, by what.
        scores: after each step that was requested, at least one; none of a run that diverged.
        diverged: what was said when it did; empty if it did not.
    """

    planned: Planned
    beside: Mapping[str, float]
    scores: Sequence[StepScore]
    diverged: str = ""


def results(
    ablation: Ablation,
    runs: Sequence[Planned],
    outcomes: Sequence[RunOutcome],
    paced: Sequence[PacedCell] = (),
    *,
    better: Mapping[str, str | None],
    **more: Any,
) -> dict[str, Any]:
    """Everything, also while some runs are still to come.

    Args:
        ablation: what was asked.
        runs: all that are planned.
        outcomes: of those that are done.
        paced: what was measured of each cell, where all get the same seconds.
        better: by name of a number, ``higher`` or ``lower``, or None where neither is.
        more: worth keeping beside it, such as the command and the versions.
    """
    cells = []
    for number, cell in enumerate(ablation.cells):
        planned = next(run for run in runs if run.cell == cell.name)
        cells.append(
            {
                "name": cell.name,
                "overrides": list(cell.overrides),
                "compared_with": ablation.baseline(cell.name),
                "paced": paced[number].plain() if paced else None,
                **_cell(planned, [one for one in outcomes if one.planned.cell == cell.name]),
            }
        )
    comparisons = compare_cells(cells, better)
    found = {
        "name": ablation.name,
        "recipe": ablation.recipe.name,
        "overrides": list(ablation.overrides),
        "equal": ablation.equal,
        "seeds": ablation.seeds,
        "evaluation": dump(ablation.evaluation),
        "complete": len(outcomes) == len(runs),
        "comparisons": comparisons,
        "better": dict(better),
        **more,
        "cells": cells,
    }
    return {**found, "controls": check_controls(found, ablation.controls)}


def _cell(planned: Planned, outcomes: Sequence[RunOutcome]) -> dict[str, Any]:
    """What one cell found by itself; ``planned`` is its first run.

    Where a run diverged there is no mean: those that are left are a choice of the better ones.
    """
    trained = [one for one in outcomes if not one.diverged]
    lasts = [one.scores[-1] for one in trained] if len(trained) == len(outcomes) else []
    evaluations = [last.nfe for last in lasts if last.nfe is not None]
    names = list(lasts[0].numbers) if lasts else []
    return {
        "network": planned.network,
        "settings": list(planned.settings),
        "steps": planned.scored[-1],
        "parameters": planned.parameters,
        "gflop_forward": planned.gflop,
        "objectives_left_out": list(planned.left_out),
        "seconds": attrs.asdict(spread([last.seconds for last in lasts])) if lasts else None,
        "nfe": spread(evaluations).mean if evaluations else None,
        "numbers": {name: attrs.asdict(spread([last.numbers[name] for last in lasts])) for name in names},
        "runs": [
            {
                "seed": one.planned.seed,
                "seconds": one.scores[-1].seconds,
                "beside": dict(one.beside),
                "scored": [attrs.asdict(score) for score in one.scores],
            }
            for one in trained
        ],
        "diverged": [{"seed": one.planned.seed, "said": one.diverged} for one in outcomes if one.diverged],
    }
