"""A logger that takes its time, such as one that talks to a server, beside a run that does not wait."""

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import SimpleQueue

from thalweg.protocols import Logger

_log = logging.getLogger("thalweg")


class InBackground:
    """Hands what is logged to another logger in a thread. Fulfils :class:`thalweg.protocols.Logger`.

    What the other one raises is raised by the next call here, since whoever logs leaves out a logger that
    fails.

    Args:
        logger: it is called by that thread alone.
        patience: seconds that :meth:`close` waits for it.
        left: what becomes of numbers that it has not taken by then, for the warning.
    """

    def __init__(self, logger: Logger, *, patience: float, left: str) -> None:
        self._logger, self._patience, self._left = logger, patience, left
        self._waiting: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._fault: Exception | None = None

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Take the numbers of one step, and return at once."""
        kept = dict(numbers)
        self._put(lambda: self._logger.log(step, kept))

    def image(self, step: int, name: str, path: Path) -> None:
        """Take a picture that was written, and return at once."""
        self._put(lambda: self._logger.image(step, name, path))

    def close(self) -> None:
        """Let the other logger close, for no longer than ``patience``."""
        if self._thread is None:
            return
        self._waiting.put(None)
        self._thread.join(self._patience)
        if self._thread.is_alive():
            _log.warning("a logger did not come to its end within %g s; %s", self._patience, self._left)
        self._raise()

    def _put(self, call: Callable[[], None]) -> None:
        self._raise()
        if self._thread is None:
            # A daemon: a run whose logger hangs ends all the same.
            self._thread = threading.Thread(target=self._work, name="thalweg-logger", daemon=True)
            self._thread.start()
        self._waiting.put(call)

    def _raise(self) -> None:
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault

    def _work(self) -> None:
        try:
            while (call := self._waiting.get()) is not None:
                call()
            self._logger.close()
        except Exception as error:
            self._fault = error
