"""A disk that fails, or ends the process, at a chosen operation."""

from collections.abc import Callable
from typing import Any

import pytest

from thalweg import files
from thalweg.files import Disk


class FailingDisk(Disk):
    """A disk that calls ``end`` before its n-th operation from now on.

    Attributes:
        left: operations until then.
    """

    def __init__(self, place: int, end: Callable[[], None]) -> None:
        self.left, self.end = place, end

    def __getattribute__(self, name: str) -> Any:
        found = object.__getattribute__(self, name)
        if name in ("left", "end") or name.startswith("_"):
            return found
        self.left -= 1
        if self.left == 0:
            self.end()
        return found


def operations(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> int:
    """How many operations on the disk an act takes."""
    counting = FailingDisk(-1, lambda: None)
    monkeypatch.setattr(files, "disk", counting)
    act()
    monkeypatch.setattr(files, "disk", Disk())
    return -1 - counting.left
