"""Numbers of a run: averaged over steps, written to metrics.jsonl."""

import contextlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from thalweg.errors import DataError, ThalwegError


class Means:
    """Means of the numbers of each step since the last line was written.

    Numbers stay on their device until they are asked for, so a step does not wait for them. They are
    added up step by step in float64, so the means are the same wherever a run was interrupted.
    """

    def __init__(self) -> None:
        self._pending: list[Mapping[str, Tensor]] = []
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def add(self, numbers: Mapping[str, Tensor]) -> None:
        """Take the numbers of one step: the same names each time, or fewer from some step on."""
        self._pending.append(numbers)

    def take(self, fabric: Fabric) -> dict[str, float]:
        """The means over steps and processes, and a new beginning; empty if there was no step."""
        self._collapse(fabric)
        means = {name: total / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return means

    def state(self, fabric: Fabric) -> dict[str, Any]:
        """What to put into a checkpoint; a copy, since that may be written while steps go on."""
        self._collapse(fabric)
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`."""
        self._pending, self._sums, self._counts = [], dict(state["sums"]), dict(state["counts"])

    def _collapse(self, fabric: Fabric) -> None:
        pending, self._pending = self._pending, []
        for names, rows in groupby(pending, key=tuple):
            if self._sums and not self._sums.keys() >= set(names):
                raise ThalwegError(
                    "an objective reported other parts than in the step before; "
                    "it must name the same ones each step"
                )
            numbers = torch.stack([torch.stack([row[name].float() for name in names]) for row in rows])
            if fabric.world_size > 1:
                numbers = fabric.all_reduce(numbers, reduce_op="mean")  # type: ignore[assignment]
            for row in numbers.double().tolist():
                for name, value in zip(names, row, strict=True):
                    self._sums[name] = self._sums.get(name, 0.0) + value
                    self._counts[name] = self._counts.get(name, 0) + 1


class MetricsFile:
    """metrics.jsonl: one JSON object a line, by step.

    Args:
        path: the file.
        step: the step that the run goes on from; later lines of an earlier attempt are removed, and a
            line that was cut off while it was written.

    Raises:
        DataError: if the file is there and is something else.
        ThalwegError: if it cannot be read or written.

    Attributes:
        newest: the last line; empty if there is none.
    """

    def __init__(self, path: Path, step: int) -> None:
        self._path, lines = path, []
        with self._writing():
            if path.exists():
                for line in path.read_text().splitlines(keepends=True):
                    if line.endswith("\n") and _step(path, line) <= step:
                        lines.append(line)
            partial = path.with_name(f".{path.name}.partial")
            partial.write_text("".join(lines))
            partial.replace(path)
            self._file = path.open("a")
        self.newest: Mapping[str, Any] = json.loads(lines[-1]) if lines else {}

    def write(self, line: Mapping[str, Any]) -> None:
        """Append a line, readable at once; what is not finite becomes null, as JSON has no NaN.

        Raises:
            ThalwegError: if it cannot be written.
        """
        finite = {
            name: None if isinstance(number, float) and not math.isfinite(number) else number
            for name, number in line.items()
        }
        with self._writing():
            self._file.write(json.dumps(finite, allow_nan=False) + "\n")
            self._file.flush()
        self.newest = line

    def sync(self) -> None:
        """Make sure that the lines outlive a power cut, as a checkpoint does.

        Raises:
            ThalwegError: if they cannot be written.
        """
        with self._writing():
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; what could not be written was said before."""
        with contextlib.suppress(OSError):
            self._file.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ThalwegError(
                f"cannot write {self._path} ({reason}); make room or give permission there, "
                f"then run the same command again"
            ) from error


def _step(path: Path, line: str) -> int:
    try:
        step = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        step = None
    if not isinstance(step, int):
        raise DataError(f"{path} holds a line without a step, so it is no metrics file; move it away")
    return step
