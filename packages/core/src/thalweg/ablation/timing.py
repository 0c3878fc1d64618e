"""What time a run took, kept beside it because its checkpoints are not: seconds of training until each judged
step, and what went to anything else."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import attrs

from thalweg.ablation.planning import Planned
from thalweg.documents import read_document, write_document
from thalweg.errors import DataError
from thalweg.report.runs import Run, read_runs

_SECONDS, _BESIDE = "seconds", "beside"


@attrs.frozen
class Times:
    """What time a run took.

    Attributes:
        seconds: of training alone until each judged step.
        beside: seconds of the whole run that went to anything else, by what: see
            :class:`thalweg.training.clock.Clock`.
    """

    seconds: Mapping[int, float]
    beside: Mapping[str, float]


def keep_times(planned: Planned, in_all: float | None, beside: Mapping[str, float] | None) -> None:
    """Write them, from the lines of metrics.jsonl in proportion.

    Args:
        planned: the run, trained.
        in_all: seconds of the whole training; None takes what metrics.jsonl says.
        beside: seconds that went to anything else; None takes what metrics.jsonl says.

    Raises:
        DataError: if metrics.jsonl does not tell.
    """
    (history,) = read_runs([planned.folder])
    seconds = _from_metrics(planned, history, in_all)
    found = history.beside if beside is None else dict(beside)
    write_document(times_path(planned), {_SECONDS: seconds, _BESIDE: found}, sealed=True)


def times(planned: Planned, say: Callable[[str], None]) -> Times:
    """What was written, made anew where it is missing or damaged.

    Raises:
        DataError: if it cannot be made anew.
    """
    path = times_path(planned)
    try:
        return _read(path, planned.judged)
    except (FileNotFoundError, DataError) as fault:
        reason = f"{path} is missing" if isinstance(fault, FileNotFoundError) else str(fault)
        say(f"warning: {reason}; it is made anew from metrics.jsonl")
    keep_times(planned, None, None)
    return _read(path, planned.judged)


def _read(path: Path, steps: Sequence[int]) -> Times:
    data = read_document(path, "what an ablation writes", "the same command makes it anew", sealed=True)
    try:
        return Times(
            {step: float(data[_SECONDS][str(step)]) for step in steps},
            {str(what): float(seconds) for what, seconds in data[_BESIDE].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} does not tell the seconds of every step") from error


def times_path(planned: Planned) -> Path:
    """The file that holds them."""
    return planned.folder.with_name(f"{planned.folder.name}-seconds.json")


def _from_metrics(planned: Planned, history: Run, in_all: float | None) -> dict[str, float]:
    told = history.over("step", "seconds")
    last = planned.judged[-1]
    points = [(at, value) for at, value in zip(told.at, told.values, strict=True) if at <= last]
    if in_all is None:
        if not points or not points[-1][0] or not 0 < points[-1][1] < float("inf"):
            raise DataError(
                f"{planned.folder / 'metrics.jsonl'} does not tell how long was trained; remove "
                f"{planned.folder} and what begins like it, and the same command trains that run anew"
            )
        in_all = points[-1][1] * last / points[-1][0]
    pairs = [(0.0, 0.0), *points, (float(last), in_all)]
    found = {str(last): in_all}
    for step in planned.judged[:-1]:
        (start, before), (stop, after) = next(
            (one, other) for one, other in pairwise(pairs) if one[0] <= step <= other[0] and one[0] < other[0]
        )
        found[str(step)] = before + (after - before) * (step - start) / (stop - start)
    return found
