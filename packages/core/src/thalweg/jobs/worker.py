"""One of several processes: ``python -m thalweg.jobs.worker``.

It reads what it is to do from stdin, a line of JSON, for there may be keys of a storage in it; works on its
batches; and reports on stdout, a JSON object a line, how far it is, warnings and errors. At SIGTERM, or when
stdin ends because the process that started it is gone, it saves and ends.
"""

import json
import logging
import os
import signal
import sys
import threading
import traceback
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TextIO

from thalweg.errors import INTERRUPTED, ThalwegError
from thalweg.jobs.tasks import from_plain, work
from thalweg.jobs.workspace import shared
from thalweg.storage.registration import register_secrets
from thalweg.suggestions import one_line

_FAILED = 1


class _Reports(logging.Handler):
    """What the starting process reads; a handler, so that it gets what the library logs."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(logging.WARNING)
        self._stream = stream

    def say(self, **message: Any) -> None:
        """Write a line."""
        with self.lock:  # type: ignore[union-attr]  # it has one
            try:
                self._stream.write(f"{json.dumps(message)}\n")
                self._stream.flush()
            except BrokenPipeError:
                # Nobody reads any more; stdin, which has ended too, is what stops this process.
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def emit(self, record: logging.LogRecord) -> None:
        """Pass on a warning."""
        self.say(level=record.levelno, warning=record.getMessage())


def main() -> int:
    """Do what stdin says; the exit code."""
    register_secrets(sys.argv, os.environ)
    # Whatever a library prints goes elsewhere; the real stdout speaks JSON.
    reports, sys.stdout = _Reports(sys.stdout), sys.stderr
    # Until here it ends at once and in silence, from here on it saves first.
    signal.signal(signal.SIGTERM, _interrupt)
    logging.getLogger("thalweg").addHandler(reports)
    try:
        line = sys.stdin.readline()
        if not line:
            return _FAILED
        threading.Thread(target=_stop_with_stdin, daemon=True).start()
        request = json.loads(line)
        folder = request["folder"]
        with nullcontext() if folder is None else shared(Path(folder)):
            recorder = from_plain(request["task"]).recorder(request["device"])
            batches = [(start, stop) for start, stop in request["batches"]]
            counts = work(recorder, batches, lambda count: reports.say(advanced=count))
            reports.say(counts=counts)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        kinds = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "thalweg.errors"]
        message = str(error) if kinds else one_line(error)
        reports.say(error=kinds[0] if kinds else None, message=message, traceback=traceback.format_exc())
        return error.exit_code if isinstance(error, ThalwegError) else _FAILED
    return 0


def _interrupt(*_: Any) -> None:
    # Once: a second signal would interrupt the saving.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _stop_with_stdin() -> None:
    # Not through sys.stdin, whose lock the interpreter wants when it ends.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
