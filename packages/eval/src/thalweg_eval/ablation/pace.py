"""How many steps of a cell fit in a time (no torch here)."""

import math
from collections.abc import Mapping
from typing import Any

import attrs

from thalweg.errors import DataError

_ROUNDING = 1e-9


@attrs.frozen
class Phase:
    """Steps of a run that cost alike, up to where the next phase begins.

    Attributes:
        first: its first step, counted from 0.
        seconds: of a step: the median of those that were timed.
        quartiles: of the same, the lower and the upper.
    """

    first: int
    seconds: float
    quartiles: tuple[float, float]


@attrs.frozen
class Pace:
    """What the steps of a run take.

    Attributes:
        phases: in order, the first one from step 0: a run has another where an objective stops.
    """

    phases: tuple[Phase, ...]

    def seconds(self, steps: int) -> float:
        """What so many steps take."""
        return math.fsum(
            (min(end, steps) - phase.first) * phase.seconds
            for phase, end in zip(self.phases, self._ends, strict=True)
            if phase.first < steps
        )

    def steps(self, seconds: float) -> int:
        """How many steps fit in so many seconds, at least one."""
        left = seconds * (1 + _ROUNDING)
        for phase, end in zip(self.phases, self._ends, strict=True):
            fitting = math.floor(left / phase.seconds)
            if phase.first + fitting < end:
                return max(1, phase.first + fitting)
            left -= (end - phase.first) * phase.seconds
        raise AssertionError("the last phase has no end")

    def scaled(self, factor: float) -> "Pace":
        """The same with every second so many times as long."""
        return Pace(
            tuple(
                Phase(
                    one.first,
                    one.seconds * factor,
                    (one.quartiles[0] * factor, one.quartiles[1] * factor),
                )
                for one in self.phases
            )
        )

    @property
    def _ends(self) -> tuple[float, ...]:
        return (*(phase.first for phase in self.phases[1:]), math.inf)


@attrs.frozen
class PacedCell:
    """What was measured of a cell before any training, and the steps that follow from it.

    Attributes:
        pace: seconds of its steps.
        steps: that it is trained for.
        machine: on which that was measured, in words.
        made: when, in ISO 8601.
    """

    pace: Pace
    steps: int
    machine: str
    made: str

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return attrs.asdict(self)


def _phase(data: Mapping[str, Any]) -> Phase:
    low, high = data["quartiles"]
    return Phase(int(data["first"]), float(data["seconds"]), (float(low), float(high)))


def paced_cell(data: Mapping[str, Any]) -> PacedCell:
    """Undoes :meth:`PacedCell.plain`.

    Raises:
        DataError: if that is not what it is.
    """
    try:
        phases = tuple(map(_phase, data["pace"]["phases"]))
        steps = int(data["steps"])
        found = PacedCell(Pace(phases), steps, str(data["machine"]), str(data["made"]))
        if not phases or steps < 1 or not all(0 < one.seconds < math.inf for one in phases):
            raise ValueError("no number of seconds")
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"what the plan says of the seconds of a step is damaged ({error}); choose another --out"
        ) from error
    return found
