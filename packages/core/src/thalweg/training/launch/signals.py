"""Ctrl-C, SIGTERM and SIGUSR1, from the start of a command to its end.

A signal before training begins ends the program at once, since there is nothing to save. Within training the
step is finished and saved first. Python runs its handlers between two steps of the main thread only, which
may wait for another process, or a library may lose the error that a handler raises; so a thread gets each
signal as well, and ends the program where the main thread does not.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from thalweg.errors import INTERRUPTED, PREEMPTED
from thalweg.storage.redaction import redacted
from thalweg.visible import visible_message

_SIGNALS = (signal.SIGINT, signal.SIGUSR1, signal.SIGTERM)

_GRACE_SECONDS = 2.0
_ECHO_SECONDS = 2.0
_STARTING, _RUNNING, _OVER = range(3)

_exit_hooks: list[Callable[[], None]] = []
_current: "StartUp | None" = None


class Stopped(KeyboardInterrupt):
    """A signal ended the program before training began."""


def exit_code(number: int) -> int:
    """Of a program that a signal has stopped and that can be resumed."""
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
            Stopped: from now on and until the run takes signals itself, at the first of them.
        """
        global _current
        if threading.current_thread() is threading.main_thread():
            self._reader, self._writer = socket.socketpair()
            self._writer.setblocking(False)
            self._woken = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
            threading.Thread(target=self._guard, name="thalweg-signals", daemon=True).start()
            _current = self
            for one in _SIGNALS:
                self._before[one] = signal.getsignal(one)
            for one in _SIGNALS:
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

    def training_begins(self, echo_seconds: float) -> int:
        """The run takes signals from now on; the one that came before, or 0.

        Args:
            echo_seconds: within which a second signal is taken for the first one; 0 for never.
        """
        self._phase, self._echo_seconds = _RUNNING, echo_seconds
        if self.number:
            self._came, self._echo_until = 1, time.monotonic() + echo_seconds
        return self.number

    def training_is_over(self) -> None:
        """There is nothing left that a signal could stop."""
        self._phase = _OVER

    def end(self, number: int) -> None:
        """End the program now, from any thread, as one that a signal stopped before training began."""
        end_at_once(exit_code(number), self.sentence(number))

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - Python's signature
        if self._phase == _STARTING and not self.number:
            self.number = number
            raise Stopped

    def _guard(self) -> None:
        with self._reader:
            while numbers := self._reader.recv(64):
                for number in numbers:
                    if number in _SIGNALS:
                        self._heard(number)

    def _heard(self, number: int) -> None:
        if self._phase == _STARTING:
            self._left.wait(_GRACE_SECONDS)
            # The main thread may have begun to train meanwhile, and has taken it then.
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
            end_at_once(128 + number, "")


class Interruption:
    """Notes Ctrl-C, SIGTERM and SIGUSR1 while they are held; a second one ends the program at once.

    Args:
        echoed: whether a launcher passes on what it gets, as ``torchrun`` does: a signal to all processes
            then comes twice, and one that follows within two seconds is taken for the same.

    Attributes:
        signal: the number of the one that came; 0 while there is none.
    """

    def __init__(self, *, echoed: bool = False) -> None:
        self.signal = 0
        self._echoed, self._noted_at = echoed, 0.0

    @contextmanager
    def held(self) -> Iterator["Interruption"]:
        """Inside, the first signal sets ``signal``. Outside the main thread nothing changes."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before: dict[signal.Signals, Any] = {one: signal.signal(one, self._note) for one in _SIGNALS}
        start_up = _current
        missed = start_up.training_begins(_ECHO_SECONDS if self._echoed else 0.0) if start_up else 0
        if missed and not self.signal:
            # It came before, and the error that it raised was lost in a library.
            self.signal, self._noted_at = missed, time.monotonic()
        try:
            yield self
        finally:
            if start_up is not None:
                start_up.training_is_over()
            for one, handler in before.items():
                signal.signal(one, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - Python's signature
        if not self.signal:
            self.signal, self._noted_at = number, time.monotonic()
        elif self._echoed and time.monotonic() - self._noted_at < _ECHO_SECONDS:
            return
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            _run_exit_hooks()
            # As if it had never been held: the shell sees 128 + number.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def end_like(code: int) -> None:
    """End as another process of the run has ended before training began, if a signal had stopped it."""
    if _current is not None and code in (INTERRUPTED, PREEMPTED):
        _current.end(signal.SIGINT if code == INTERRUPTED else signal.SIGTERM)


def on_immediate_exit(hook: Callable[[], None]) -> None:
    """Call something, once, when a signal ends the program at once."""
    _exit_hooks.append(hook)


def _run_exit_hooks() -> None:
    while _exit_hooks:
        _exit_hooks.pop()()


def end_at_once(code: int, sentence: str) -> None:
    """End the program now, from any thread, with a sentence unless it is empty."""
    if sentence:
        click.echo(visible_message(redacted(sentence)), err=True)
    _run_exit_hooks()
    os._exit(code)
