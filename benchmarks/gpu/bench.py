"""What a piece is given: the device, sizes, its time, and where to report figures."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
from benchmarks.gpu.sizes import Sizes

from thalweg.errors import ThalwegError

Report = Callable[[str, Any], None]


@attrs.frozen(eq=False)
class Bench:
    """One piece's surroundings.

    Attributes:
        device: ``cuda`` or ``cpu``.
        sizes: how large everything is.
        scratch: a folder of its own, thrown away afterwards.
        end: of its time, as ``time.monotonic`` counts.
        report: takes what it finds, at once: a kind and its content.
        before: what the pieces before it have found, by name.
        data: a folder of Fashion-MNIST's files; None where it is where Debian puts it, or nowhere.
    """

    device: str
    sizes: Sizes
    scratch: Path
    end: float
    report: Report
    before: Mapping[str, Any] = attrs.field(factory=dict)
    data: Path | None = None

    @property
    def place(self) -> torch.device:
        """The device."""
        return torch.device(self.device, 0)

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.end - time.monotonic()

    def check(self, key: str, figure: float) -> None:
        """Report the figure of a target.

        Raises:
            ThalwegError: it is no number.
        """
        self.report("check", {"key": key, "figure": _finite(key, figure)})

    def figure(self, what: str, value: float, unit: str = "") -> None:
        """Report a figure without a target.

        Raises:
            ThalwegError: it is no number.
        """
        self.report("figure", {"what": what, "value": _finite(what, value), "unit": unit})

    def note(self, text: str) -> None:
        """Report a sentence."""
        self.report("note", text)

    def found(self, piece: str, what: str) -> float | None:
        """A figure that a piece before this one has reported; None if it has not."""
        figures = self.before.get(piece, {}).get("figures", [])
        return next((one["value"] for one in figures if one["what"] == what), None)


def _finite(what: str, figure: float) -> float:
    if not math.isfinite(figure):
        raise ThalwegError(f"{what} is {figure}, which is no measurement")
    return float(figure)
