"""metrics.jsonl as columns: read line by line, so that a run of a million lines takes little memory."""

import json
import math
import re
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import attrs

from thalweg.report.inside import open_inside

_WANTED = re.compile(r"loss|grad_norm|(validation/)?velocity(/branch_\d{1,4})?")
_LONGEST = 2**20
"""Bytes of one line; a line of numbers has a few hundred."""

_DECODER = json.JSONDecoder()


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
class Lines:
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


def read_lines(folder: Path, name: str) -> Lines:
    """Read the metrics.jsonl of a run's folder; a line that is damaged is left out and told, the rest stays.

    A last line without its end is one that a run is writing just now, and is passed over.
    """
    found, path = Lines(), folder / name
    try:
        with open_inside(folder, path) as file:
            damaged, first, reason = _read(file, found)
    except FileNotFoundError:
        return found
    except OSError as error:
        found.damages.append(f"{path} cannot be read ({error.strerror or error}); no number of it is shown")
        return found
    if damaged:
        more = f" and {damaged - 1:,} more" if damaged > 1 else ""
        found.damages.append(f"line {first:,} of {path} {reason}{more}: left out")
    return found


def _read(file: BinaryIO, found: Lines) -> tuple[int, int, str]:
    """Fill the columns; how many lines are damaged, the first of them, and what is wrong with that."""
    damaged, first, reason = 0, 0, ""
    wanted: dict[str, Column | None] = {}
    for number, text in enumerate(_texts(file), start=1):
        try:
            line = _parsed(text)
            if type(line) is not dict:
                raise ValueError("is no JSON object")
            _take(line, found, wanted)
            found.newest = line
        # OverflowError: an integer beyond all floats.
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            damaged += 1
            if damaged == 1:
                first, reason = number, _reason(error)
    return damaged, first, reason


def _parsed(text: bytes) -> Any:
    # A quarter faster than json.loads, of which each line pays for the options.
    plain = text.decode()
    try:
        value, end = _DECODER.raw_decode(plain)
    except ValueError:
        return json.loads(plain)
    return value if plain[end:].isspace() else json.loads(plain)


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        return "is no JSON"
    if isinstance(error, UnicodeDecodeError):
        return "is no UTF-8"
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


def _take(line: dict[str, Any], found: Lines, wanted: dict[str, Column | None]) -> None:
    step, seconds = _number(line.get("step"), "step"), _number(line.get("seconds"), "seconds")
    fresh: list[tuple[Column, float]] = []
    for name, value in line.items():
        # A stranger's lines may have a million names: only the first of them are remembered.
        column = wanted.get(name)
        if column is None and name not in wanted:
            column = _column(name, found)
            if column is not None or len(wanted) < 1000:
                wanted[name] = column
        if column is not None:
            fresh.append((column, value if type(value) is float else _number(value, name)))
    # All of a line or nothing.
    for column, value in [*fresh, (found.times, 0.0)]:
        column.step.append(step)
        column.seconds.append(seconds)
        if column is not found.times:
            column.values.append(value)


def _column(name: str, found: Lines) -> Column | None:
    return found.columns.setdefault(name, Column()) if _WANTED.fullmatch(name) else None


def _number(value: Any, name: str) -> float:
    # metrics.jsonl writes null for what is not finite.
    if value is None:
        return math.nan
    if type(value) not in (int, float):
        raise ValueError(f"has no number as its {name}")
    return float(value)
