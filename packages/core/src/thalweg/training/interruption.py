"""Ctrl-C and pre-emption: the step is finished and saved before the run ends."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from thalweg.training import start_up

_ECHO_SECONDS = 2.0


class Interruption:
    """Notes Ctrl-C, SIGTERM and SIGUSR1 while they are held; a second one ends the program at once.

    Args:
        echoed: whether a launcher passes on what it gets, as ``torchrun`` does: a signal to all processes
            then comes twice, and one that follows within two seconds is taken for the same.

    Attributes:
        signal: the number of the one that came; 0 while there is none.
    """

    def __init__(self, *, echoed: bool = False) -> None:
        self.signal = 0
        self._echoed, self._noted_at = echoed, 0.0

    @contextmanager
    def noted(self) -> Iterator["Interruption"]:
        """Inside, the first signal sets ``signal``. Outside the main thread nothing changes."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before: dict[signal.Signals, Any] = {one: signal.signal(one, self._note) for one in start_up.NOTED}
        missed = start_up.begun(_ECHO_SECONDS if self._echoed else 0.0)
        if missed and not self.signal:
            # It came before, and the error that it raised was lost in a library.
            self.signal, self._noted_at = missed, time.monotonic()
        try:
            yield self
        finally:
            start_up.over()
            for one, handler in before.items():
                signal.signal(one, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - Python's signature
        if not self.signal:
            self.signal, self._noted_at = number, time.monotonic()
        elif self._echoed and time.monotonic() - self._noted_at < _ECHO_SECONDS:
            return
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            start_up.do_last_acts()
            # As if it had never been held: the shell sees 128 + number.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
