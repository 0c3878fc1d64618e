"""SIGTERM and SIGUSR1 while an ablation is between its trainings: one sentence and exit code 75."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from thalweg.errors import PreemptionError

_NOTED = (signal.SIGTERM, signal.SIGUSR1)


@contextmanager
def preemptible() -> Iterator[None]:
    """Inside, either signal ends what is done by a PreemptionError; training takes them over for itself.

    Outside the main thread nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[signal.Signals, Any] = {one: signal.signal(one, _raise) for one in _NOTED}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _raise(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - Python's signature
    raise PreemptionError(
        f"pre-empted by {signal.Signals(number).name}; the same command goes on with what is done"
    )
