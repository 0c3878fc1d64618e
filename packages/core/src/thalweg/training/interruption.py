"""Ctrl-C: the step is finished and saved before the run ends."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interruption:
    """Notes Ctrl-C while it is held; a second Ctrl-C ends the program at once."""

    def __init__(self) -> None:
        self.requested = False

    @contextmanager
    def noted(self) -> Iterator["Interruption"]:
        """Inside, the first Ctrl-C sets ``requested``. Outside the main thread nothing changes."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before: Any = signal.signal(signal.SIGINT, self._note)
        try:
            yield self
        finally:
            signal.signal(signal.SIGINT, before)

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - Python's signature
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
