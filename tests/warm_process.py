"""Commands in processes of their own that need not import torch first, which takes seconds.

``Warm`` starts one process that imports what all of them use and then forks for each command: the child goes
to the command's folder, takes its output files, and runs it as ``python -m`` does, to the interpreter's end.
"""

import contextlib
import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any


class Warm:
    """A process that forks for each command."""

    def __init__(self, environment: Mapping[str, str], *flags: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *flags, __file__],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, words: list[str], folder: Path) -> tuple[int, str]:
        """``python -m`` with these words in this folder: its exit code, and all that it printed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.NamedTemporaryFile("r", encoding="utf-8") as printed:
            asked = {"words": words, "folder": str(folder), "printed": printed.name}
            print(json.dumps(asked), file=self._process.stdin, flush=True)
            return int(self._process.stdout.readline()), printed.read()

    def end(self) -> None:
        """Let the process end."""
        self._process.communicate(timeout=60)


@contextlib.contextmanager
def warm(environment: Mapping[str, str], *flags: str) -> Iterator[Warm]:
    """A warm process in this environment, for a while; ``flags`` are the interpreter's."""
    one = Warm(environment, *flags)
    try:
        yield one
    finally:
        one.end()


def asked() -> dict[str, Any]:
    """What the child that this returns in is to do; the parent stays within until nobody asks any more."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            request: dict[str, Any] = json.loads(line)
            return request
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    sys.exit()


if __name__ == "__main__":
    # What commands import, without a plugin of Thalweg among it, and what pytest does.
    plugins = [one.module for one in entry_points(group="pytest11")]
    for module in ("thalweg.cli.main", "thalweg_authoring.running", "thalweg.training.trainer", *plugins):
        importlib.import_module(module)
    request = asked()
    os.chdir(str(request["folder"]))
    output = os.open(str(request["printed"]), os.O_WRONLY)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, file in enumerate((nothing, output, output)):
        os.dup2(file, descriptor)
    words = [str(word) for word in request["words"]]
    sys.argv = words
    sys.path[0] = str(Path.cwd())  # as ``python -m`` has it
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)
