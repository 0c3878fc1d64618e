"""Seconds of training until each judged step, kept beside a run because its checkpoints are not."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from thalweg.ablation.planning import Planned
from thalweg.documents import read_document, write_document
from thalweg.errors import DataError
from thalweg.report.runs import read_runs

_SECONDS = "seconds"


def keep_seconds(planned: Planned, in_all: float | None) -> None:
    """Write them, from the lines of metrics.jsonl in proportion.

    Args:
        planned: the run, trained.
        in_all: seconds of the whole training; None takes what metrics.jsonl says.

    Raises:
        DataError: if metrics.jsonl does not tell.
    """
    write_document(_path(planned), {_SECONDS: _from_metrics(planned, in_all)}, sealed=True)


def seconds(planned: Planned, say: Callable[[str], None]) -> dict[int, float]:
    """What was written, made anew where it is missing or damaged.

    Raises:
        DataError: if it cannot be made anew.
    """
    path = _path(planned)
    try:
        return _read(path, planned.judged)
    except (FileNotFoundError, DataError) as fault:
        reason = f"{path} is missing" if isinstance(fault, FileNotFoundError) else str(fault)
        say(f"warning: {reason}; it is made anew from metrics.jsonl")
    keep_seconds(planned, None)
    return _read(path, planned.judged)


def _read(path: Path, steps: Sequence[int]) -> dict[int, float]:
    data = read_document(path, "what an ablation writes", "the same command makes it anew", sealed=True)
    try:
        return {step: float(data[_SECONDS][str(step)]) for step in steps}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} does not tell the seconds of every step") from error


def _path(planned: Planned) -> Path:
    return planned.folder.with_name(f"{planned.folder.name}-seconds.json")


def _from_metrics(planned: Planned, in_all: float | None) -> dict[str, float]:
    (history,) = read_runs([planned.folder])
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
