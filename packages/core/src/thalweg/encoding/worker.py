"""A process that encodes for another one: ``python -m thalweg.encoding.worker``.

It reads its task from stdin in JSON, for there may be keys of a storage in it, and reports to stdout, a
line of JSON at a time. When stdin ends, whoever asked is gone, and it ends too: nothing is orphaned.
"""

import json
import os
import sys
import threading
from typing import Any, TextIO

from thalweg.encoding.tasks import Task
from thalweg.errors import ThalwegError
from thalweg.storage.feeding import feed

_ORPHANED = 1


def main() -> int:
    """Do the task of stdin.

    Returns:
        the exit code.
    """
    feed(sys.argv, os.environ)
    # Whatever a library prints goes elsewhere; the real stdout speaks JSON.
    reports, sys.stdout = sys.stdout, sys.stderr
    task = Task.from_line(sys.stdin.readline())
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        task.run(lambda images, cut: _report(reports, images=images, cut=cut))
    except ThalwegError as error:
        _report(reports, fault=str(error), exit_code=error.exit_code)
        return error.exit_code
    return 0


def _end_with_stdin() -> None:
    # Not through sys.stdin, whose lock the interpreter wants when it ends.
    while os.read(0, 1):
        pass
    # A shard that is being written stays incomplete beside its name, and is written anew.
    os._exit(_ORPHANED)


def _report(reports: TextIO, **message: Any) -> None:
    reports.write(json.dumps(message) + "\n")
    reports.flush()


if __name__ == "__main__":
    sys.exit(main())
