"""Several processes share a set: each is handed ranges, and what it keeps lies in one folder."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from thalweg import errors
from thalweg.errors import INTERRUPTED, ConfigError, ThalwegError
from thalweg.evaluation import ranges as spans
from thalweg.evaluation.ranges import Range

_PATIENCE = 60.0  # seconds that a process has for what it holds unsaved, once it is told to stop


def divided(ranges: Sequence[Range], world: int) -> list[list[Range]]:
    """The ranges cut into ``world`` shares of equal size, each of neighbours."""
    total = spans.size(ranges)
    cuts = [spans.share(total, rank, world) for rank in range(world)]
    shares: list[list[Range]] = [[] for _ in range(world)]
    passed = 0
    for start, stop in ranges:
        for rank, (begin, end) in enumerate(cuts):
            low, high = max(start, start + begin - passed), min(stop, start + end - passed)
            if low < high:
                shares[rank].append((low, high))
        passed += stop - start
    return shares


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


Advanced = Callable[[int], None]
"""Told how many more are done."""


def shared_work(
    folder: Path,
    task: Mapping[str, Any],
    shares: Sequence[Sequence[Range]],
    own: Callable[[Sequence[Range], Advanced], None],
    advanced: Advanced,
) -> None:
    """Do the first share in this process, and start one for each of the others; wait for all.

    Args:
        folder: where what they do is kept.
        task: what to do, in plain values: see :mod:`thalweg.evaluation.tasks`.
        shares: the ranges of each.
        own: does a share here, and says how far it is after each batch.
        advanced: told of every batch of all processes, one at a time.

    Raises:
        ThalwegError: what went wrong in the first that failed, all others having saved and stopped.
        KeyboardInterrupt: after all have saved and stopped.
    """
    # Through a pipe, and nowhere else: a data set's options may hold secrets.
    requests = [json.dumps({"task": task, "ranges": share}) for share in shares]
    all_threads = torch.get_num_threads()
    threads = max(1, all_threads // len(shares))
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    workers = [_Worker(folder, rank, requests[rank], environment) for rank in range(1, len(shares))]
    lock, failed = threading.Lock(), threading.Event()

    def heard(count: int) -> None:
        with lock:
            advanced(count)

    def done(count: int) -> None:
        heard(count)
        if failed.is_set():
            raise _OtherFailedError

    readers = [threading.Thread(target=worker.follow, args=(heard, failed)) for worker in workers]
    torch.set_num_threads(threads)
    try:
        for reader in readers:
            reader.start()
        with contextlib.suppress(_OtherFailedError):
            own(shares[0], done)
        while any(reader.is_alive() for reader in readers) and not failed.wait(0.05):
            pass
    finally:
        torch.set_num_threads(all_threads)
        for worker in workers:
            worker.stop()
        for reader in readers:
            reader.join()
    for worker in workers:
        worker.check()


class _OtherFailedError(Exception):
    """Another process has failed, so there is no use in going on."""


class _Worker:
    def __init__(self, folder: Path, rank: int, request: str, environment: Mapping[str, str]) -> None:
        self._rank, self._request = rank, request
        self._process = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", "thalweg.evaluation.worker", str(folder), str(rank)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C reaches the first process alone, which tells the others once
        )
        self._error: Mapping[str, Any] | None = None

    def follow(self, advanced: Advanced, failed: threading.Event) -> None:
        """Say what it is to do, and read what it says until it ends."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:  # if it died, its end tells
            pipe.write(f"{self._request}\n")
        with self._process.stdout as lines:
            for line in lines:
                said = json.loads(line)
                if "error" in said:
                    self._error = said
                else:
                    advanced(said["advanced"])
        if self._process.wait():
            failed.set()

    def stop(self) -> None:
        """Ask it to save and end, if it is still there; end it if it does not."""
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def check(self) -> None:
        """Raise what went wrong in it."""
        if self._error is not None:
            kind = getattr(errors, self._error["error"], ThalwegError)
            raise kind(self._error["message"])
        code = self._process.returncode
        if code not in (0, INTERRUPTED, -signal.SIGTERM):
            raise ThalwegError(
                f"process {self._rank} ended with code {code}; what it had saved is kept, the same command "
                "goes on from there"
            )
