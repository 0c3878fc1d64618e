"""Work that ends in different ways, for test_jobs.py."""

import os
import signal
import time
from pathlib import Path

import attrs

from thalweg.errors import DataError
from thalweg.jobs.tasks import Recorder


class Ending(Recorder):
    """Writes down what it has taken when it is flushed; ends in one way after the first batch."""

    def __init__(self, place: Path, how: str) -> None:
        self._place, self._how, self._taken = place, how, 0

    def take(self, start, stop):
        if self._taken:
            self._end()
        self._taken += stop - start

    def flush(self):
        self._place.write_text(str(self._taken))

    def counts(self):
        return {"taken": self._taken}

    def _end(self):
        match self._how:
            case "data":
                raise DataError("there is no such image; restore it")
            case "memory":
                raise MemoryError("no room for a batch")
            case "exit":
                os._exit(7)
            case "slow":
                time.sleep(0.01)
            case "SIGKILL" | "SIGTERM":
                os.kill(os.getpid(), getattr(signal, self._how))
                time.sleep(5)


@attrs.frozen
class EndingTask:
    """What another process does."""

    place: Path
    how: str

    @property
    def folder(self) -> None:
        """Nothing is locked."""

    def recorder(self, device: str) -> Ending:
        assert device == "cpu"
        return Ending(self.place, self.how)
