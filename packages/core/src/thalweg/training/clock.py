"""Where the time of a run goes: to training, and to what is done beside it (no torch here)."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

TRAINING, START_UP, VALIDATION, SAMPLES, CHECKPOINTS, LOGGING = (
    "training",
    "start_up",
    "validation",
    "samples",
    "checkpoints",
    "logging",
)

BESIDE: Mapping[str, str] = {
    START_UP: "starting up",
    VALIDATION: "validation",
    SAMPLES: "sample grids",
    CHECKPOINTS: "checkpoints",
    LOGGING: "logging",
}
"""What takes time beside training, in words."""

_SHOWN = 0.05  # seconds; less is not told

PREFIX = "seconds/"
"""Before the names of these in metrics.jsonl, where ``seconds`` is of training alone."""


class Clock:
    """Counts seconds by what they are spent on, over all sessions of a run.

    Training is optimiser steps, with the time that they wait for data or for other processes. Starting up
    is all that comes before the first of them, and that one too where it compiles the network. What is
    counted nowhere else is logging: progress, lines of numbers, loggers, observers.

    Args:
        spent: seconds of the sessions before.
    """

    def __init__(self, spent: Mapping[str, float]) -> None:
        self._spent = dict.fromkeys((TRAINING, *BESIDE), 0.0) | dict(spent)
        self._what, self._since = LOGGING, time.monotonic()

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """Inside, time is spent on this, and on nothing that it stands within."""
        outer = self._switch(what)
        try:
            yield
        finally:
            self._switch(outer)

    def add(self, what: str, seconds: float) -> None:
        """Count seconds that were measured otherwise."""
        self._spent[what] += seconds

    @property
    def spent(self) -> dict[str, float]:
        """Seconds until now, by what they were spent on."""
        self._switch(self._what)
        return dict(self._spent)

    def _switch(self, what: str) -> str:
        now, outer = time.monotonic(), self._what
        self._spent[outer] += now - self._since
        self._what, self._since = what, now
        return outer


def beside(spent: Mapping[str, float]) -> dict[str, float]:
    """What was spent on anything but training."""
    return {what: spent[what] for what in BESIDE if what in spent}


def times_in_words(spent: Mapping[str, float]) -> str:
    """What a run's time went to, in words: training, and beside it the rest, the longest first.

    Args:
        spent: seconds by what they were spent on, :data:`TRAINING` among them.
    """
    ranked = sorted(beside(spent).items(), key=lambda one: -one[1])
    rest = [f"{_seconds(number)} for {BESIDE[what]}" for what, number in ranked if number >= _SHOWN]
    return f"{_seconds(spent[TRAINING])} for training" + (f", besides {', '.join(rest)}" if rest else "")


def _seconds(number: float) -> str:
    return f"{number:.1f} s" if number < 100 else f"{number:,.0f} s"
