"""The scenarios, by name: each a function of template, scratch, seed, count and workers."""

import importlib
from collections.abc import Callable
from pathlib import Path

import attrs

from torture.common import Finding

Run = Callable[[Path, Path, int, int | None, int], list[Finding]]


@attrs.frozen
class Scenario:
    """One file of this folder.

    Attributes:
        module: its name.
        what: it does, for the table.
    """

    module: str
    what: str

    def load(self) -> Run:
        """Its function."""
        run: Run = importlib.import_module(f"torture.{self.module}").run
        return run


SCENARIOS = {
    "kills": Scenario("kills", "kill -9, and the same command again"),
    "signals": Scenario("signals", "SIGINT, SIGTERM, SIGUSR1 at any moment, and the same command again"),
    "pairs": Scenario("pairs", "the same command twice at once, and commands that meet"),
    "mutations": Scenario("mutations", "damaged files, of every kind that is read back"),
    "hostile": Scenario("hostile", "files, documents, links and runs that somebody made to do harm"),
    "full": Scenario("full", "full and read-only disks"),
    "cuts": Scenario("cuts", "power cuts: copies of the disk at each change, mounted"),
    "figures": Scenario("figures", "large inputs, in seconds and MiB"),
}
