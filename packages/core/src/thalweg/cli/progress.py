"""The display of progress of all commands that work for long."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from thalweg.cli import console

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

_SECONDS = 10.0


class ProgressDisplay:
    """Shows on stderr how far work is: a bar on a terminal, elsewhere a line every few seconds.

    It is called with what is being done, how much of it is done, and how much there is; for the first time
    before any of it is done. A context manager, which leaves bars as they are.

    Args:
        seconds: between two lines.
    """

    def __init__(self, seconds: float = _SECONDS) -> None:
        self._seconds = seconds
        self._bars: RichProgress | None = None
        self._begun: dict[str, tuple[float, int]] = {}
        self._shown: dict[str, float] = {}
        self._rows: dict[str, Any] = {}

    def __enter__(self) -> "ProgressDisplay":
        if sys.stderr is not None and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[pace]}"),
            )
            self._bars = Progress(*columns, console=Console(stderr=True))
            self._bars.start()
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Take how far it is."""
        now = time.monotonic()
        if what not in self._begun or done < self._begun[what][1]:
            self._begun[what] = now, done
            self._shown[what] = now
        begun, before = self._begun[what]
        pace = _pace(done - before, total - done, now - begun)
        if self._bars is not None:
            if what not in self._rows:
                self._rows[what] = self._bars.add_task(what, total=total, pace="")
            self._bars.update(self._rows[what], completed=done, total=total, pace=pace)
        elif done > before and (done == total or now - self._shown[what] >= self._seconds):
            self._shown[what] = now
            console.say(f"{what}: {done:,} of {total:,}, {pace}")


def _pace(done: int, left: int, seconds: float) -> str:
    if done == 0:
        return ""
    rate = done / max(seconds, 1e-9)
    remaining = left / rate
    for unit, length in (("h", 3600), ("min", 60)):
        if remaining >= 2 * length:
            return f"{rate:.4g} a second, {remaining / length:.0f} {unit} left"
    return f"{rate:.4g} a second, {remaining:.0f} s left"
