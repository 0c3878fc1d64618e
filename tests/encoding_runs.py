"""Encoding in processes of its own that are killed on the way; started by test_encoding.py.

``python encoding_runs.py DEATHS COMMAND...`` runs ``thalweg COMMAND...`` once for each of DEATHS, such as
``0,5``, and kills it when half of the file of that number is written, counted from 0. Prints how each
process ended, as JSON.
"""

import json
import os
import signal
import sys

import thalweg_backbones.encoding  # noqa: F401 - once, before the forks
from thalweg import files
from thalweg.cli.main import main


class DyingDisk(files.Disk):
    """A disk on which the process dies when half of a file is written."""

    def __init__(self, file: int) -> None:
        self._left = file

    def write(self, descriptor: int, content: memoryview) -> int:
        if self._left == 0:
            super().write(descriptor, content[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1
        return super().write(descriptor, content)


def run(command: list[str], file: int) -> int:
    child = os.fork()
    if child == 0:
        files.disk = DyingDisk(file)
        os._exit(main(command))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    print(json.dumps([run(sys.argv[2:], int(file)) for file in sys.argv[1].split(",")]))
