"""How a run shows that it moves: a bar on a terminal, plain lines elsewhere, always on stderr."""

import sys
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import click

from thalweg.storage.redaction import redacted
from thalweg.visible import visible_message


@runtime_checkable
class Progress(Protocol):
    """What the loop tells."""

    def step(self, step: int, numbers: Mapping[str, float] | None) -> None:
        """A step is done; with numbers where they were just taken."""
        ...

    def say(self, text: str) -> None:
        """Show one line."""
        ...

    def close(self) -> None:
        """The run is over."""
        ...


class Silent:
    """Shows nothing but what must be said, such as a damaged checkpoint."""

    def step(self, step: int, numbers: Mapping[str, float] | None) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """One line."""
        click.echo(visible_message(redacted(text)), err=True)

    def close(self) -> None:
        """Nothing."""


class Lines:
    """One line each time that numbers were taken.

    Args:
        steps: of the whole run.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def step(self, step: int, numbers: Mapping[str, float] | None) -> None:
        """Show the numbers, if there are any."""
        if numbers is not None:
            width = len(str(self._steps))
            self.say(f"step {step:>{width}}/{self._steps}  {described(numbers, self._steps - step)}")

    def say(self, text: str) -> None:
        """One line."""
        click.echo(visible_message(redacted(text)), err=True)

    def close(self) -> None:
        """Nothing is left to close."""


class Bar:
    """A bar with the newest numbers behind it.

    Args:
        steps: of the whole run.
        done: steps that are done already.
        title: what moves.
    """

    def __init__(self, steps: int, done: int, title: str = "training") -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._steps = steps
        columns = (
            TextColumn(title),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
        )
        self._bar = RichProgress(*columns, console=Console(stderr=True))
        self._task = self._bar.add_task("", total=steps, completed=done)
        self._bar.start()

    def step(self, step: int, numbers: Mapping[str, float] | None) -> None:
        """Move on."""
        shown: dict[str, Any] = {}
        if numbers is not None:
            shown["description"] = described(numbers, self._steps - step)
        self._bar.update(self._task, completed=step, **shown)

    def say(self, text: str) -> None:
        """One line above the bar."""
        self._bar.console.print(visible_message(redacted(text)), highlight=False, markup=False)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.stop()


def progress(steps: int, done: int, *, quiet: bool) -> Progress:
    """What suits where stderr goes."""
    if quiet:
        return Silent()
    return Bar(steps, done) if sys.stderr.isatty() else Lines(steps)


def described(numbers: Mapping[str, float], left: int) -> str:
    """Loss, speed and time to go.

    Args:
        numbers: with ``loss`` unless every step was left out, and with ``images_per_second`` and
            ``steps_per_second`` unless no step was timed yet.
        left: steps to go.
    """
    loss = f"loss {numbers['loss']:.4f}" if "loss" in numbers else "no loss"
    if "steps_per_second" not in numbers:
        return loss
    text = f"{loss}  {numbers['images_per_second']:.4g} images/s"
    if left and numbers["steps_per_second"] > 0:
        text += f"  {duration(left / numbers['steps_per_second'])} to go"
    return text


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, ``1:02:03`` or ``2:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
