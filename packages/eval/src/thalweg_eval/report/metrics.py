"""metrics.jsonl as columns: read line by line, so that a run of a million lines takes little memory."""

import json
import math
import re
from array import array
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import attrs

from thalweg_eval.report.run_files import open_inside, reason_of

_WANTED = re.compile(r"loss|grad_norm|(validation/)?velocity(/branch_\d{1,4})?")
_LONGEST = 2**20
"""Bytes of one line; a line of numbers has a few hundred."""


@attrs.frozen(eq=False)
class Column:
    """A number over the lines that hold it.

    Attributes:
        step: of each line; NaN where it has none.
        seconds: of training until then; NaN where it has none.
        values: what the number was; NaN where it was not finite.
    """

    step: "array[float]" = attrs.field(factory=lambda: array("d"))
    seconds: "array[float]" = attrs.field(factory=lambda: array("d"))
    values: "array[float]" = attrs.field(factory=lambda: array("d"))


@attrs.define(eq=False)
class Metrics:
    """What was read.

    Attributes:
        columns: by name of a number, those that reports show.
        times: the training seconds over the steps.
        newest: the last whole line; empty if there is none.
        damages: what was left out, in words.
    """

    columns: dict[str, Column] = attrs.field(factory=dict)
    times: Column = attrs.field(factory=Column)
    newest: Mapping[str, Any] = attrs.field(factory=dict)
    damages: list[str] = attrs.field(factory=list)


def read_metrics(folder: Path, name: str) -> Metrics:
    """Read the metrics.jsonl of a run's folder; a damaged line is left out and named, the rest stays.

    A last line without its end is one that a run is writing just now, and is skipped.
    """
    found, path = Metrics(), folder / name
    damaged, first = 0, ""
    try:
        with open_inside(folder, path) as file:
            for number, text in enumerate(_texts(file), start=1):
                try:
                    _take(json.loads(text.decode()), found)
                # OverflowError: an integer beyond all floats.
                except (ValueError, TypeError, OverflowError, RecursionError) as error:
                    damaged += 1
                    first = first or f"line {number:,} of {path} {_fault(error)}"
    except FileNotFoundError:
        return found
    except OSError as error:
        found.damages.append(f"{path} cannot be read ({reason_of(error)}); no number of it is shown")
        return found
    if damaged:
        found.damages.append(f"{first}{f' and {damaged - 1:,} more' if damaged > 1 else ''}: left out")
    return found


def _fault(error: Exception) -> str:
    for kind, fault in (
        (RecursionError, "is nested too deeply"),
        (json.JSONDecodeError, "is no JSON"),
        (UnicodeDecodeError, "is no UTF-8"),
    ):
        if isinstance(error, kind):
            return fault
    return str(error) if str(error).startswith(("is ", "has ")) else "has something else than a number"


def _texts(file: BinaryIO) -> Iterator[bytes]:
    """The lines that have an end; of one that is too long, only that it is there."""
    while text := file.readline(_LONGEST):
        if text.endswith(b"\n"):
            yield text
        elif len(text) == _LONGEST:
            while (more := file.readline(_LONGEST)) and not more.endswith(b"\n"):
                pass
            if more:
                yield b"too long"


def _take(line: Any, found: Metrics) -> None:
    """All of a line or nothing."""
    if type(line) is not dict:
        raise ValueError("is no JSON object")
    step, seconds = _number(line.get("step"), "step"), _number(line.get("seconds"), "seconds")
    values = {
        name: value if type(value) is float else _number(value, name)
        for name, value in line.items()
        if _is_wanted(name)
    }
    found.newest = line
    found.times.step.append(step)
    found.times.seconds.append(seconds)
    for name, value in values.items():
        column = found.columns.get(name) or found.columns.setdefault(name, Column())
        column.step.append(step)
        column.seconds.append(seconds)
        column.values.append(value)


@lru_cache(maxsize=1000)  # third-party lines may have a million names
def _is_wanted(name: str) -> bool:
    return _WANTED.fullmatch(name) is not None


def _number(value: Any, name: str) -> float:
    # metrics.jsonl writes null for what is not finite.
    if value is None:
        return math.nan
    if type(value) not in (int, float):
        raise ValueError(f"has no number as its {name}")
    return float(value)
