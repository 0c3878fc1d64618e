"""Numbers of a run, averaged over steps."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from thalweg.errors import ThalwegError


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
