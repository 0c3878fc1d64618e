"""Several processes share the work on a set of indices."""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from thalweg import errors
from thalweg.errors import INTERRUPTED, ConfigError, ThalwegError
from thalweg.jobs.ranges import Range
from thalweg.jobs.tasks import Advanced, Recorder, Task, to_plain, work

_PATIENCE = 60.0  # seconds that a process has to save what it holds, once it is to stop
_RESUME = "what is finished is saved; run the same command to resume"

_log = logging.getLogger("thalweg")


def check_alone() -> None:
    """Raise if a launcher has started this process several times, each of which would do all the work.

    Raises:
        ConfigError: naming the option that starts processes itself.
    """
    world = os.environ.get("WORLD_SIZE", "1")
    if world not in ("", "1"):
        raise ConfigError(
            f"a launcher started {world} of these (WORLD_SIZE); start one, with --devices {world}, and it "
            "starts the others itself"
        )


def share_work(
    recorder: Recorder,
    task: Task | None,
    shares: Sequence[Sequence[Range]],
    devices: Sequence[str],
    advanced: Advanced,
) -> Mapping[str, int]:
    """Do the first share in this process, and start one for each of the others; wait for all.

    When one fails, is killed or runs out of memory, the others save what they have finished and stop.

    Args:
        recorder: does the first share.
        task: gives the recorders of the others; None if there are none.
        shares: the batches of each process.
        devices: of each process, at least as many as shares.
        advanced: called after every batch of all processes, one at a time; may raise to stop.

    Returns:
        What recorders have counted, added up.

    Raises:
        ThalwegError: what went wrong in the first that failed, or that it was killed.
        KeyboardInterrupt: after all have saved and stopped.
    """
    every = torch.get_num_threads()
    threads = max(1, every // len(shares))
    lock, failed = threading.Lock(), threading.Event()

    def count(more: int) -> None:
        with lock:
            advanced(more)

    def count_here(more: int) -> None:
        count(more)
        if failed.is_set():
            raise _OtherFailedError

    workers = [
        _Worker(f"process {rank + 1} of {len(shares)}", task, shares[rank], devices[rank], threads)
        for rank in range(1, len(shares))
        if task is not None
    ]
    readers = [threading.Thread(target=worker.follow, args=(count, failed)) for worker in workers]
    torch.set_num_threads(threads)
    counts: Counter[str] = Counter()
    try:
        for reader in readers:
            reader.start()
        with contextlib.suppress(_OtherFailedError):
            counts.update(work(recorder, shares[0], count_here))
        while any(reader.is_alive() for reader in readers) and not failed.wait(0.05):
            pass
    finally:
        torch.set_num_threads(every)
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()
        for reader in readers:
            reader.join()
    for worker in workers:
        worker.check()
        counts.update(worker.counts)
    return counts


class _OtherFailedError(Exception):
    """Another process has failed: the set cannot be finished now."""


class _Worker:
    def __init__(self, name: str, task: Task, batches: Sequence[Range], device: str, threads: int) -> None:
        self._name, self._stopped = name, False
        self._error: Mapping[str, Any] | None = None
        self.counts: Mapping[str, int] = {}
        folder = None if task.folder is None else str(task.folder)
        # Through a pipe, and nowhere else: a data set's options may hold secrets.
        request = {"task": to_plain(task), "folder": folder, "device": device, "batches": batches}
        self._request = json.dumps(request)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "thalweg.jobs.worker"],
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C reaches the first process alone, which stops the others once
        )

    def follow(self, advanced: Advanced, failed: threading.Event) -> None:
        """Send its request, and read what it reports until it ends."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        with contextlib.suppress(BrokenPipeError):  # if it died, its exit code says how
            self._process.stdin.write(f"{self._request}\n")
            self._process.stdin.flush()  # and stays open: its end would stop the process
        with self._process.stdout as lines:
            for line in lines:
                report = json.loads(line)
                if "advanced" in report:
                    advanced(report["advanced"])
                elif "counts" in report:
                    self.counts = report["counts"]
                elif "warning" in report:
                    _log.log(report["level"], "%s", report["warning"])
                else:
                    self._error = report
        if self._process.wait():
            failed.set()

    def terminate(self) -> None:
        """Ask it to save and end, if it is still there."""
        if self._process.poll() is None:
            self._stopped = True
            self._process.terminate()

    def wait(self) -> None:
        """Wait for its end; end it if it does not."""
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()  # type: ignore[union-attr]  # it is a pipe

    def check(self) -> None:
        """Raise what went wrong in it."""
        code = self._process.returncode
        if self._error is not None:
            kind, message = self._error["error"], self._error["message"]
            error = (
                ThalwegError(f"{self._name} failed: {message}; {_RESUME}")
                if kind is None
                else getattr(errors, kind)(message)
            )
            error.add_note(self._error["traceback"])
            raise error
        if code == 0 or self._stopped:
            return
        if code < 0:
            how = f"was killed by signal {-code} ({signal.Signals(-code).name})"
            how += ", as systems do when memory runs out" if -code == signal.SIGKILL else ""
        else:
            how = "was stopped by SIGTERM" if code == INTERRUPTED else f"ended with exit code {code}"
        raise ThalwegError(f"{self._name} {how}; {_RESUME}")
