"""Several processes that encode at once."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from thalweg.encoding.tasks import Task
from thalweg.errors import ConfigError, DataError, PluginError, ThalwegError

_FAULTS: dict[int, type[ThalwegError]] = {
    error.exit_code: error for error in (ConfigError, PluginError, DataError)
}
_PATIENCE = 10.0  # seconds for a process to end when it is told to
_Message = tuple[int, dict[str, Any] | None]


def run_fleet(tasks: Sequence[Task], encoded: Callable[[int, int], None]) -> None:
    """A process for each task; all end when one fails, or when this one is interrupted.

    Args:
        tasks: what each does.
        encoded: told the number of images and of captions cut after each batch of any of them.

    Raises:
        ThalwegError: what the first to fail said, or that it died.
    """
    processes: list[subprocess.Popen[str]] = []
    messages: SimpleQueue[_Message] = SimpleQueue()
    try:
        for place, task in enumerate(tasks):
            processes.append(_started(task))
            threading.Thread(target=_listen, args=(place, processes[place], messages), daemon=True).start()
        running = len(tasks)
        while running:
            place, message = messages.get()
            if message is None:
                running -= 1
                _check(place, processes)
            elif "fault" in message:
                raise _FAULTS.get(message["exit_code"], ThalwegError)(message["fault"])
            else:
                encoded(message["images"], message["cut"])
    finally:
        for process in processes:
            _end(process)


def _started(task: Task) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-m", "thalweg.encoding.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        process_group=0,  # Ctrl-C reaches this process alone, which ends the others
    )
    assert process.stdin is not None  # noqa: S101 - for mypy: it was asked for
    with suppress(BrokenPipeError):  # if it died at once, its end tells
        process.stdin.write(task.to_line())
        process.stdin.flush()
    return process


def _listen(place: int, process: "subprocess.Popen[str]", messages: "SimpleQueue[_Message]") -> None:
    assert process.stdout is not None  # noqa: S101 - for mypy: it was asked for
    for line in process.stdout:
        messages.put((place, json.loads(line)))
    process.wait()
    messages.put((place, None))


def _check(place: int, processes: "Sequence[subprocess.Popen[str]]") -> None:
    code = processes[place].returncode
    if code:
        how = f"was killed by signal {-code}" if code < 0 else f"failed with exit code {code}"
        raise ThalwegError(
            f"process {place + 1} of {len(processes)} that encode {how}; run the same command to go on"
        )


def _end(process: "subprocess.Popen[str]") -> None:
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()  # which it takes as its end
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
