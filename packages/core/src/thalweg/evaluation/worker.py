"""One of several processes: ``python -m thalweg.evaluation.worker FOLDER RANK``.

It reads what it is to do from stdin, a line of JSON, works through its share, and says on stdout, one JSON
object a line, how far it is and what went wrong. At SIGTERM, or when nobody listens any more, it saves and
ends.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from thalweg.errors import INTERRUPTED, ThalwegError
from thalweg.evaluation.recorders import work
from thalweg.evaluation.tasks import from_plain
from thalweg.evaluation.workplace import shared
from thalweg.storage.feeding import feed

_FAILED = 1


def main(folder: Path, rank: int) -> int:
    """Do the share of one rank; the exit code."""
    feed(sys.argv, os.environ)
    # Until here it ends at once and in silence, from here on it saves first.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with shared(folder):
        try:
            line = sys.stdin.readline()
            if not line:
                return _FAILED  # who asked is gone
            request = json.loads(line)
            task = from_plain(request["task"])
            work(
                task.recorder(folder, rank),
                [(start, stop) for start, stop in request["ranges"]],
                task.batch_size,
                lambda count: _say({"advanced": count}),
            )
        except KeyboardInterrupt:
            return INTERRUPTED
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return _FAILED
        except ThalwegError as error:
            kinds = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "thalweg.errors"]
            _say({"error": kinds[0], "message": str(error)})
            return error.exit_code
    return 0


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)  # noqa: T201 - the starting process reads it


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
