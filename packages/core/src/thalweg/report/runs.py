"""Runs as a report reads them: their folders, without building anything."""

import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from thalweg.errors import DataError
from thalweg.report.model import Curve
from thalweg.report.reaching import Scores

_CONFIG, _METRICS, _SAMPLES = "config.toml", "metrics.jsonl", "samples"
_PICTURE = re.compile(r"step-(\d+)\.png")


@attrs.frozen(eq=False)
class Run:
    """A training run that was, or is still going on.

    Attributes:
        name: what the report calls it.
        path: its folder.
        config: its resolved configuration.
        lines: of its metrics.jsonl.
        pictures: sample grids by step.
    """

    name: str
    path: Path
    config: Mapping[str, Any]
    lines: Sequence[Mapping[str, Any]]
    pictures: Mapping[int, Path]

    @property
    def numbers(self) -> list[str]:
        """Names of all numbers that some line holds."""
        return list(dict.fromkeys(name for line in self.lines for name in line))

    @property
    def newest(self) -> Mapping[str, Any]:
        """The last line; empty if there is none."""
        return self.lines[-1] if self.lines else {}

    def velocity(self, prefix: str = "") -> str:
        """The name of the last branch's velocity error: what runs of different k can be compared by."""
        found = [name for name in self.numbers if re.fullmatch(rf"{prefix}velocity/branch_\d+", name)]
        return max(found, key=lambda name: int(name.rpartition("_")[2]), default=f"{prefix}velocity")

    def over(self, axis: str, number: str) -> Scores:
        """A number over ``step`` or ``seconds``, where a line holds both."""
        pairs = [
            (float(line[axis]), _float(line[number]))
            for line in self.lines
            if number in line and line.get(axis) is not None
        ]
        return Scores(self.name, tuple(at for at, _ in pairs), tuple(value for _, value in pairs))

    def curve(self, axis: str, number: str) -> Curve | None:
        """The same as a line of a chart; None if there is no such number."""
        scores = self.over(axis, number)
        return Curve(self.name, scores.at, scores.values) if scores.at else None


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """Read run directories; runs of one name are told apart by their folders.

    Raises:
        DataError: if a folder holds no run, or a file of it cannot be read.
    """
    runs = [_read(path) for path in paths]
    names = [run.name for run in runs]
    return [
        attrs.evolve(run, name=f"{run.name} ({run.path})") if names.count(run.name) > 1 else run
        for run in runs
    ]


def _read(path: Path) -> Run:
    if not (path / _CONFIG).is_file():
        raise DataError(f"{path} holds no run, it has no {_CONFIG}; give the folder that was --run-dir")
    try:
        config = tomllib.loads((path / _CONFIG).read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{path / _CONFIG} cannot be read ({error}); restore it from a checkpoint") from error
    pictures = {}
    for file in sorted((path / _SAMPLES).glob("*.png")):
        if match := _PICTURE.fullmatch(file.name):
            pictures[int(match[1])] = file
    return Run(str(config.get("name", path.name)), path, config, _lines(path / _METRICS), pictures)


def _lines(path: Path) -> list[Mapping[str, Any]]:
    if not path.is_file():
        return []
    lines: list[Mapping[str, Any]] = []
    for number, text in enumerate(path.read_text().splitlines(keepends=True), start=1):
        if not text.endswith("\n"):  # a run that is going on writes it just now
            break
        try:
            line = json.loads(text)
        except ValueError as error:
            raise DataError(f"line {number} of {path} is no JSON; remove it") from error
        if not isinstance(line, dict):
            raise DataError(f"line {number} of {path} is no JSON object; remove it")
        lines.append(line)
    return lines


def _float(value: Any) -> float:
    # metrics.jsonl writes null for what is not finite.
    return math.nan if value is None else float(value)
