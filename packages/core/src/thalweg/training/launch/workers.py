"""The processes of a run on one machine: started, looked after, and none left behind."""

import atexit
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.strategies.launchers.launcher import _Launcher

from thalweg.errors import ThalwegError
from thalweg.training.launch import signals

_PARENT = "THALWEG_PARENT"
_ORDINARY = (0, 75, 130)
"""How a process ends that all agreed to end: done, pre-empted, Ctrl-C."""

_LOOK_SECONDS = 0.25
_ENDING_SECONDS = 2.0
_GRACE_SECONDS = 10.0
_LEAVING_SECONDS = 60.0
_AGREED_SECONDS = 5.0
_BROKEN = re.compile(r"gloo|nccl|connection (closed|reset|refused)|broken pipe|timed? ?out", re.IGNORECASE)


class ProcessLostError(ThalwegError):
    """Another process of the run ended or hangs; all the others find out by themselves."""


class RefusedError(ThalwegError):
    """The first process refused to train and reported why; the others leave without a word."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Workers(_Launcher):
    """Starts the other processes of this machine by the command that started this one.

    If one of them fails, the others are ended and this process says so; when this one ends, they do.

    Attributes:
        joined: whether all processes have met; from then on they end together or fail.
    """

    def __init__(self, environment: ClusterEnvironment, processes: int, nodes: int) -> None:
        self._environment, self._processes, self._nodes = environment, processes, nodes
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._over = threading.Event()
        self.joined = False

    @property
    def is_interactive_compatible(self) -> bool:
        """A notebook cannot be run again by its command."""
        return False

    def launch(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Start them, then call ``function`` here."""
        node = self._environment.node_rank()
        os.environ |= {
            "MASTER_ADDR": self._environment.main_address,
            "MASTER_PORT": str(self._environment.main_port),
            "NODE_RANK": str(node),
            "LOCAL_RANK": "0",
            "WORLD_SIZE": str(self._processes * self._nodes),
        }
        for rank in range(1, self._processes):
            environment = {**os.environ, "LOCAL_RANK": str(rank), _PARENT: str(os.getpid())}
            command = [sys.executable, *sys.orig_argv[1:]]
            self._children[node * self._processes + rank] = subprocess.Popen(command, env=environment)  # noqa: S603 - our own command
        threading.Thread(target=self._watch, name="thalweg-workers", daemon=True).start()
        atexit.register(self.end, _LEAVING_SECONDS)
        signals.on_immediate_exit(self._kill)
        return function(*args, **kwargs)

    def casualty(self) -> tuple[int, int] | None:
        """Rank and return code of a process that failed; None while there is none."""
        for rank, child in self._children.items():
            code = child.poll()
            if code is not None and (code not in _ORDINARY or not self.joined):
                return rank, code
        return None

    def end(self, grace: float) -> None:
        """Wait for the processes to end, for ``grace`` seconds, then make them."""
        self._over.set()
        deadline = time.monotonic() + grace
        for child in self._children.values():
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            lost = self.casualty()
            if lost is None:
                continue
            if not self.joined:
                signals.end_like(lost[1])
            # The main thread notices by itself, unless it waits for a device that waits for the lost one.
            if not self._over.wait(_GRACE_SECONDS):
                _end(f"{_described(*lost)}; the run ends and the same command resumes")
            return

    def _kill(self) -> None:
        for child in self._children.values():
            child.kill()
        for child in self._children.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_ENDING_SECONDS)  # so that nothing is left of it


def follow_parent() -> None:
    """End this process when the one that started it is gone; does nothing in one that leads itself."""
    started_by = os.environ.get(_PARENT)
    if started_by is None and not torch.distributed.is_torchelastic_launched():
        return
    parent = os.getppid() if started_by is None else int(started_by)
    threading.Thread(target=_follow, args=(parent,), name="thalweg-parent", daemon=True).start()


def unmet(error: BaseException, seconds: float) -> ProcessLostError | None:
    """What to make of an error while processes look for each other; None if it stands for itself."""
    broken = _broken_connection(error)
    if broken is None:
        return None
    address = ":".join(os.environ.get(one, "unknown") for one in ("MASTER_ADDR", "MASTER_PORT"))
    reason = " ".join(str(broken).split("Exception raised from")[0].split())[:160].rstrip(" .(")
    return ProcessLostError(
        f"the processes of the run did not all meet at {address} within {seconds:g} s ({reason}); start the "
        f"same command on every machine, with an address and a port that all of them reach"
    )


def _lost(error: BaseException, workers: Workers | None) -> ProcessLostError | None:
    """The same while processes talk to each other."""
    broken = _broken_connection(error)
    if broken is None:
        return None
    advice = "the run ends, and the same command resumes from its last checkpoint"
    deadline = time.monotonic() + _ENDING_SECONDS
    while workers is not None and time.monotonic() < deadline:
        found = workers.casualty()
        if found is not None:
            failure = ProcessLostError(f"{_described(*found)}; {advice}")
            failure.exit_code = max(1, found[1])
            return failure
        time.sleep(_LOOK_SECONDS / 5)
    reason = " ".join(str(broken).split())[:120]
    return ProcessLostError(f"another process of the run has ended or hangs ({reason}); {advice}")


@contextmanager
def supervised(workers: Workers | None, world: int) -> Iterator[None]:
    """Inside, a process that is lost ends the run with one clear sentence, and leaves none behind."""
    try:
        yield
    except BaseException as error:
        loss = _lost(error, workers) if world > 1 else None
        if workers is not None:
            # Errors that all meet let the others leave by themselves.
            workers.end(_AGREED_SECONDS if loss is None and isinstance(error, Exception) else 0.0)
        if loss is not None:
            raise loss from error
        raise


def _described(rank: int, code: int) -> str:
    """How a process ended, in words."""
    if code < 0:
        return f"process {rank} was killed by {signal.Signals(-code).name}"
    return f"process {rank} failed with exit code {code}"


def _broken_connection(error: BaseException | None) -> RuntimeError | None:
    """The error, or one that it stems from, that torch raised as it talked to another process."""
    if not isinstance(error, Exception):
        return None  # such as Ctrl-C, whatever it came into
    while error is not None:
        if isinstance(error, RuntimeError) and (
            isinstance(error, torch.distributed.DistError) or _BROKEN.search(str(error))
        ):
            return error
        error = error.__cause__ or error.__context__
    return None


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    time.sleep(_ENDING_SECONDS)  # for a process that is about to end by itself
    _end("the process that started this one is gone, so it ends too")


def _end(message: str) -> None:
    signals.end_at_once(1, f"error: {message}")
