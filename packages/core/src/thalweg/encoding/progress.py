"""How encoding shows that it moves: a bar on a terminal, lines elsewhere, always on stderr."""

import sys
import time
from typing import Protocol, runtime_checkable

import click

_SECONDS = 10.0


@runtime_checkable
class Progress(Protocol):
    """What encoding tells."""

    def advance(self, images: int) -> None:
        """So many more are encoded."""
        ...

    def close(self) -> None:
        """Nothing more comes."""
        ...


class Silent:
    """Shows nothing."""

    def advance(self, images: int) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Lines:
    """A line every few seconds.

    Args:
        total: images in all.
        done: those that were encoded before.
        seconds: between two lines.
    """

    def __init__(self, total: int, done: int, seconds: float = _SECONDS) -> None:
        self._total, self._before, self._done = total, done, done
        self._seconds = seconds
        self._begun = self._shown = time.monotonic()

    def advance(self, images: int) -> None:
        """Show where encoding stands, if it is time or the end."""
        self._done += images
        now = time.monotonic()
        if now - self._shown < self._seconds and self._done < self._total:
            return
        self._shown = now
        rate = (self._done - self._before) / max(now - self._begun, 1e-9)
        left = (self._total - self._done) / rate
        click.echo(
            f"{self._done} of {self._total} images  {rate:.4g} images/s  {left / 60:.0f} minutes to go",
            err=True,
        )

    def close(self) -> None:
        """Nothing is left to close."""


class Bar:
    """A bar.

    Args:
        total: images in all.
        done: those that were encoded before.
    """

    def __init__(self, total: int, done: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (TextColumn("encoding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = RichProgress(*columns, console=Console(stderr=True))
        self._task = self._bar.add_task("", total=total, completed=done)
        self._bar.start()

    def advance(self, images: int) -> None:
        """Move on."""
        self._bar.advance(self._task, images)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.stop()


def progress(total: int, done: int) -> Progress:
    """What suits where stderr goes."""
    return Bar(total, done) if sys.stderr.isatty() else Lines(total, done)
