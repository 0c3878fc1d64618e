"""Signals before and after a run notes them itself: from the first act of a command to its last.

A signal before training begins ends the program at once, since there is nothing to save. Python runs its
handlers between two steps of the main thread only, which may wait for another process, or a library may
lose the error that a handler raises; so a thread is told of each signal as well, and ends the program where
the main thread does not.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import click

from thalweg.errors import INTERRUPTED, PREEMPTED
from thalweg.storage.redaction import redacted
from thalweg.visible import visible_message

NOTED = (signal.SIGINT, signal.SIGUSR1, signal.SIGTERM)

_GRACE_SECONDS = 2.0
_STARTING, _RUNNING, _OVER = range(3)

_last_acts: list[Callable[[], None]] = []
_current: "StartUp | None" = None


class Stopped(KeyboardInterrupt):
    """A signal ended the program before training began."""


def exit_code(number: int) -> int:
    """Of a program that a signal has stopped and that can go on."""
    return INTERRUPTED if number == signal.SIGINT else PREEMPTED


class StartUp:
    """Holds Ctrl-C, SIGTERM and SIGUSR1 while a command lasts; does nothing outside the main thread.

    Args:
        sentence: what to say of a signal that came before training began; empty to say nothing.
        last: whether nothing follows but the end of the process, which takes a while and has its exit code
            already: signals are ignored then.

    Attributes:
        number: the signal that came before training began; 0 while there is none.
    """

    def __init__(self, sentence: Callable[[int], str], *, last: bool = False) -> None:
        self.number, self.sentence, self._last = 0, sentence, last
        self._phase, self._came, self._echo_until, self._echo_seconds = _STARTING, 0, 0.0, 0.0
        self._left, self._ending = threading.Event(), threading.Event()
        self._before: dict[int, Any] = {}

    def hold(self) -> None:
        """Hold the signals from now on.

        Raises:
            Stopped: from now on and until the run notes signals itself, at the first of them.
        """
        global _current
        if threading.current_thread() is threading.main_thread():
            self._reader, self._writer = socket.socketpair()
            self._writer.setblocking(False)
            self._woken = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
            threading.Thread(target=self._guard, name="thalweg-signals", daemon=True).start()
            _current = self
            for one in NOTED:
                self._before[one] = signal.getsignal(one)
            for one in NOTED:
                signal.signal(one, self._handle)

    def release(self) -> None:
        """Leave them to whoever held them before, or to nobody."""
        global _current
        if self._ending.is_set():
            # The processes that the main thread waited for have been ended: that is no error of theirs.
            time.sleep(_GRACE_SECONDS)
        self._phase = _OVER
        self._left.set()
        if self._before:
            _current = None
            signal.set_wakeup_fd(self._woken)
            for one, handler in self._before.items():
                signal.signal(one, signal.SIG_IGN if self._last else handler)
            self._writer.close()

    def begun(self, echo_seconds: float) -> int:
        """The run notes signals from now on; the one that came before, or 0."""
        self._phase, self._echo_seconds = _RUNNING, echo_seconds
        if self.number:
            self._came, self._echo_until = 1, time.monotonic() + echo_seconds
        return self.number

    def over(self) -> None:
        """There is nothing left that a signal could stop."""
        self._phase = _OVER

    def end(self, number: int) -> None:
        """End the program now, from any thread, as one that a signal stopped before training began."""
        _end_at_once(exit_code(number), self.sentence(number))

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - Python's signature
        if self._phase == _STARTING and not self.number:
            self.number = number
            raise Stopped

    def _guard(self) -> None:
        with self._reader:
            while numbers := self._reader.recv(64):
                for number in numbers:
                    if number in NOTED:
                        self._heard(number)

    def _heard(self, number: int) -> None:
        if self._phase == _STARTING:
            self._left.wait(_GRACE_SECONDS)
            # The main thread may have begun to train meanwhile, and has noted it then.
            if self._phase == _STARTING and not self._left.is_set():
                self.end(self.number or number)
            return
        if self._came and time.monotonic() < self._echo_until:
            return
        self._came += 1
        if self._came == 1:
            self._echo_until = time.monotonic() + self._echo_seconds
        elif not self._left.wait(_GRACE_SECONDS / 2):
            self._ending.set()
            _end_at_once(128 + number, "")


def begun(echo_seconds: float) -> int:
    """Tell the command's own start-up, if there is one, that the run notes signals itself.

    Args:
        echo_seconds: within which a second signal is taken for the first one; 0 for never.

    Returns:
        The signal that came before; 0 if there was none.
    """
    return 0 if _current is None else _current.begun(echo_seconds)


def over() -> None:
    """Tell it that the run has ended."""
    if _current is not None:
        _current.over()


def end_like(code: int) -> None:
    """End as another process of the run has ended before training began, if a signal had stopped it."""
    if _current is not None and code in (INTERRUPTED, PREEMPTED):
        _current.end(signal.SIGINT if code == INTERRUPTED else signal.SIGTERM)


def before_the_end(act: Callable[[], None]) -> None:
    """Do something, once, when a signal ends the program at once."""
    _last_acts.append(act)


def do_last_acts() -> None:
    """What :func:`before_the_end` was told."""
    while _last_acts:
        _last_acts.pop()()


def _end_at_once(code: int, sentence: str) -> None:
    if sentence:
        click.echo(visible_message(redacted(sentence)), err=True)
    do_last_acts()
    os._exit(code)
