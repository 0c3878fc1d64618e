"""How far a run is, and where its time goes: shown on stderr, counted over all sessions (no torch here)."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from thalweg.storage.redaction import redacted
from thalweg.visible import visible_message

TRAINING, START_UP, VALIDATION = "training", "start_up", "validation"
SAMPLES, CHECKPOINTS, LOGGING = "samples", "checkpoints", "logging"

BESIDE: Mapping[str, str] = {
    START_UP: "starting up",
    VALIDATION: "validation",
    SAMPLES: "sample grids",
    CHECKPOINTS: "checkpoints",
    LOGGING: "logging",
}
"""What takes time beside training, in words."""

_SHOWN = 0.05  # seconds; less is not shown

PREFIX = "seconds/"
"""Before the names of these in metrics.jsonl, where ``seconds`` is of training alone."""


class Clock:
    """Counts seconds by what they are spent on, on top of those of the sessions before.

    Training is optimiser steps, with the time that they wait for data or for other processes. Starting up
    is all that comes before the first of them, and that one too where it compiles the network. What is
    counted nowhere else is logging: progress, lines of numbers, loggers, observers.
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
    """What a run's seconds went to, in words: training, and beside it the rest, the longest first."""
    ranked = sorted(beside(spent).items(), key=lambda one: -one[1])
    rest = [f"{_seconds(number)} for {BESIDE[what]}" for what, number in ranked if number >= _SHOWN]
    return f"{_seconds(spent[TRAINING])} for training" + (f", besides {', '.join(rest)}" if rest else "")


def _seconds(number: float) -> str:
    return f"{number:.1f} s" if number < 100 else f"{number:,.0f} s"


def say(text: str) -> None:
    """Show one line."""
    click.echo(visible_message(redacted(text)), err=True)


class TrainingProgress:
    """A bar with the newest numbers behind it, or a line each time that numbers were taken."""

    def __init__(self, steps: int, done: int = 0, *, quiet: bool = False) -> None:
        self._steps, self._quiet = steps, quiet
        self._bar: Any = None
        if not quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            columns = (
                TextColumn("training"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
            )
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._task = self._bar.add_task("", total=steps, completed=done)
            self._bar.start()

    def step(self, step: int, numbers: Mapping[str, float] | None = None) -> None:
        """A step is done; with numbers where they were just taken."""
        text = None if numbers is None else _described(numbers, self._steps - step)
        if self._bar is not None:
            self._bar.update(self._task, completed=step, **({} if text is None else {"description": text}))
        elif text is not None and not self._quiet:
            say(f"step {step:>{len(str(self._steps))}}/{self._steps}  {text}")

    def say(self, text: str) -> None:
        """Show one line; above the bar, if there is one."""
        if self._bar is not None:
            self._bar.console.print(visible_message(redacted(text)), highlight=False, markup=False)
        elif not self._quiet:
            say(text)

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.stop()


def _described(numbers: Mapping[str, float], left: int) -> str:
    """Loss, speed and time to go."""
    loss = f"loss {numbers['loss']:.4f}" if "loss" in numbers else "no loss"
    if "steps_per_second" not in numbers:
        return loss
    text = f"{loss}  {numbers['images_per_second']:.4g} images/s"
    if left and numbers["steps_per_second"] > 0:
        minutes, seconds = divmod(round(left / numbers["steps_per_second"]), 60)
        hours, minutes = divmod(minutes, 60)
        text += f"  {f'{hours}:{minutes:02}' if hours else minutes}:{seconds:02} to go"
    return text
