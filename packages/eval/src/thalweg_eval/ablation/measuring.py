"""Seconds of a training step, measured for all cells side by side before any of them is trained.

Machines slow down and speed up, so cells are visited in turn, several times and to and fro; what counts is
the median over the visits. Each step is one of the run's own: network, objectives, data, optimiser and EMA.
"""

import datetime
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from thalweg.config import RunConfig
from thalweg.devices import devices_of
from thalweg.training.loop import TrainingLoop
from thalweg.training.trainer import Trainer
from thalweg_eval.ablation.pace import Pace, PacedCell, Phase
from thalweg_eval.ablation.planning import Planned
from thalweg_eval.evaluation.provenance import machine
from thalweg_eval.report.sections import machine_in_words

ROUNDS = 6
"""Visits of each cell, the first of which is not counted: it compiles, allocates and fills caches."""

WARM_UP, TIMED = 2, 5
"""Steps of a visit: those before the clock counts, as other cells ran in between, and those timed."""


def pace_cells(
    cells: Sequence[Planned], before: Sequence[PacedCell], say: Callable[[str], None]
) -> list[PacedCell]:
    """How long each cell is to be trained so that all take as long as the first one.

    Cells that were measured before keep what they have. Where others have been added, the first is measured
    again beside them, and they are put in proportion to it: the machine may be another by then.

    Args:
        cells: all of them under one seed, each with the steps of the first one.
        before: what is known of the first few.
        say: shows one line of progress.
    """
    known: list[tuple[RunConfig, PacedCell]] = [
        (cell.config, paced) for cell, paced in zip(cells, before, strict=False)
    ]
    new: list[RunConfig] = []
    for cell in cells[len(before) :]:
        if all(cell.config != config for config in (*(config for config, _ in known), *new)):
            new.append(cell.config)
    if new:
        first = cells[0]
        steps = before[0].steps if before else first.config.training.steps
        found = measure([first.config, *new] if before else new, say)
        budget, factor = found[0].seconds(steps), 1.0
        if before:
            factor = before[0].pace.seconds(steps) / budget
            budget, found = before[0].pace.seconds(steps), found[1:]
        where = machine_in_words(machine(devices_of("auto", 1)[0], 1, 0.0))
        made = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        for config, pace in zip(new, found, strict=True):
            scaled = pace.scaled(factor)
            lasts = steps if config == first.config else scaled.steps(budget)
            known.append((config, PacedCell(scaled, lasts, where, made)))
    return [next(paced for config, paced in known if config == cell.config) for cell in cells]


def measure(configs: Sequence[RunConfig], say: Callable[[str], None]) -> list[Pace]:
    """The seconds of a step of each run; all of them are in memory at once.

    Raises:
        ThalwegError: whatever would stop one of the runs before its first step.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="thalweg-")))
        runs = [_Rehearsal(config, folder / str(number), stack) for number, config in enumerate(configs)]
        for visit in range(ROUNDS):
            say(f"measuring the seconds of a step, round {visit + 1} of {ROUNDS}")
            for run in reversed(runs) if visit % 2 else runs:
                run.visit(visit)
        return [run.pace() for run in runs]


class _Rehearsal:
    """One run whose steps are timed.

    Args:
        config: the run.
        folder: thrown away afterwards.
        stack: closes it.
    """

    def __init__(self, config: RunConfig, folder: Path, stack: ExitStack) -> None:
        folder.mkdir()
        trainer = Trainer(config, folder, devices=1, quiet=True)
        self._loop: TrainingLoop = stack.enter_context(trainer.rehearsed())
        steps, objectives = config.training.steps, trainer.components.objectives.values()
        stops = {getattr(one, "stop_after", None) or steps for one in objectives}
        self._firsts = [0, *sorted(stop for stop in stops if stop < steps)]
        self._ends = [*self._firsts[1:], steps]
        self._seconds: list[list[float]] = [[] for _ in self._firsts]

    def visit(self, number: int) -> None:
        """Time a few steps of each phase, at every visit others as far as there are."""
        for first, end, seconds in zip(self._firsts, self._ends, self._seconds, strict=True):
            count = min(WARM_UP + TIMED, end - first)
            offset = number * count % (end - first - count + 1)
            found = self._loop.time_steps(first + offset, count)
            if number:
                seconds += found[WARM_UP:] or found[-1:]

    def pace(self) -> Pace:
        """What was found."""
        phases = []
        for first, seconds in zip(self._firsts, self._seconds, strict=True):
            low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
            phases.append(Phase(first, median, (low, high)))
        return Pace(tuple(phases))
