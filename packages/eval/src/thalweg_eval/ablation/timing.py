"""What time a run took, kept beside it because its checkpoints are not: seconds of training until each scored
step, and what went to anything else."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs
import numpy as np

from thalweg.documents import read_document, write_document
from thalweg.errors import DataError
from thalweg_eval.ablation.planning import Planned
from thalweg_eval.report.runs import Run, read_runs


@attrs.frozen
class Times:
    """What time a run took.

    Attributes:
        seconds: of training alone until each scored step.
        beside: seconds of the whole run that went to anything else, by what: see
            :class:`thalweg.training.progress.Clock`.
    """

    seconds: Mapping[int, float]
    beside: Mapping[str, float]


def times_path(planned: Planned) -> Path:
    """The file that holds them."""
    return planned.folder.with_name(f"{planned.folder.name}-seconds.json")


def keep_times(planned: Planned, in_all: float | None, beside: Mapping[str, float] | None) -> None:
    """Write them, from the lines of metrics.jsonl in proportion.

    Args:
        planned: the run, trained.
        in_all: seconds of the whole training; None takes what metrics.jsonl says.
        beside: seconds that went to anything else; None takes what metrics.jsonl says.

    Raises:
        DataError: if metrics.jsonl does not say.
    """
    (run,) = read_runs([planned.folder])
    found = {
        "seconds": _from_metrics(planned, run, in_all),
        "beside": run.beside if beside is None else dict(beside),
    }
    write_document(times_path(planned), found, sealed=True)


def times(planned: Planned, say: Callable[[str], None]) -> Times:
    """What was written, made anew where it is missing or damaged.

    Raises:
        DataError: if it cannot be made anew.
    """
    path = times_path(planned)
    try:
        return _read(path, planned.scored)
    except (FileNotFoundError, DataError) as fault:
        reason = f"{path} is missing" if isinstance(fault, FileNotFoundError) else str(fault)
        say(f"warning: {reason}; it is made anew from metrics.jsonl")
    keep_times(planned, None, None)
    return _read(path, planned.scored)


def _read(path: Path, steps: Sequence[int]) -> Times:
    data = read_document(path, "what an ablation writes", "the same command makes it anew", sealed=True)
    try:
        return Times(
            {step: float(data["seconds"][str(step)]) for step in steps},
            {str(what): float(seconds) for what, seconds in data["beside"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} does not state the seconds of every step") from error


def _from_metrics(planned: Planned, run: Run, in_all: float | None) -> dict[str, float]:
    curve, last = run.over("step", "seconds"), planned.scored[-1]
    points = [point for point in zip(curve.steps, curve.values, strict=True) if point[0] <= last]
    if in_all is None:
        if not points or not points[-1][0] or not 0 < points[-1][1] < float("inf"):
            raise DataError(
                f"{planned.folder / 'metrics.jsonl'} does not state how long was trained; remove "
                f"{planned.folder} and what begins like it, and the same command trains that run anew"
            )
        in_all = points[-1][1] * last / points[-1][0]
    at, seconds = zip((0.0, 0.0), *points, (last, in_all), strict=True)
    return {str(step): float(np.interp(step, at, seconds)) for step in planned.scored}
