"""Signals from the first moment on: a command that is stopped before its own handling begins ends with the
same exit code as later.

This module imports next to nothing, as it is there before everything else. Until somebody catches what is
raised, and while something is imported, a signal ends the process at once: nothing has been begun then, and
an exception would end in a traceback or be lost in the initialisation of some library. Everywhere else it is
raised, so that what is open is closed and what is done is saved. A command that handles signals by itself,
such as training, takes over while it does.
"""

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any, NoReturn

from thalweg.errors import INTERRUPTED, PREEMPTED

RESUMABLE = frozenset(
    [
        *("train", "fit-head", "sample", "evaluate", "encode", "ablate", "bench", "tune", "quickstart"),
        "weights get",
    ]
)
"""Commands that resume where they were stopped."""

_HELD = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))
_PROGRAMS = frozenset(["thalweg", "thalweg.exe", "thalweg-script.py", "thalweg-script.pyw"])
_ECHO_SECONDS = 2.0
_AGAIN_SECONDS = 0.01


class PreemptedError(KeyboardInterrupt):
    """A signal that asks a command to stop and be resumed later: cleaned up after as after Ctrl-C.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(sentence(number))
        self.number = number


class _State:
    before: dict[int, Any] | None = None
    arguments: Sequence[str] = ()
    alone = False
    caught = False
    stopped_by = 0
    stopped_at = 0.0


def sentence(number: int) -> str:
    """The message when a signal has ended a command that resumes."""
    return f"stopped by {signal.Signals(number).name}; the same command resumes"


def is_program() -> bool:
    """Whether this process is the command line, rather than one that imports it."""
    path = sys.argv[0] if sys.argv else ""
    name = os.path.basename(path)  # noqa: PTH119 - pathlib takes longer to import than all of this
    return name in _PROGRAMS or path.replace("\\", "/").endswith("thalweg/__main__.py")


def hold(arguments: Sequence[str], *, alone: bool) -> bool:
    """Take over Ctrl-C, SIGTERM and SIGUSR1; what is ignored stays ignored.

    Args:
        arguments: of the command line.
        alone: whether the process has nothing else to do, and may be ended.

    Returns:
        Whether they are to be given back: they were not held before, and can be.
    """
    _State.arguments, _State.alone = arguments, alone
    # Python lets only the main thread handle signals.
    if _State.before is not None or threading.current_thread() is not threading.main_thread():
        return False
    _State.before, _State.stopped_by = {}, 0
    for one in _HELD:
        handler = signal.getsignal(one)
        if handler not in (signal.SIG_IGN, None):
            _State.before[one] = handler
            signal.signal(one, _stop)
    return True


def caught() -> None:
    """From now on, what is raised is caught."""
    _State.caught = True


def release() -> None:
    """Give the signals back."""
    before, _State.before = _State.before, None
    for one, handler in (before or {}).items():
        signal.signal(one, handler)


def leave(code: int) -> None:
    """All is done and reported: a signal that comes while the interpreter ends changes nothing any more."""
    for one in _HELD:
        if signal.getsignal(one) not in (signal.SIG_IGN, None):
            signal.signal(one, lambda _, __: os._exit(code))
    atexit.register(_ignore)


def _ignore() -> None:
    # The interpreter gives handlers up before its end, but leaves ignored what is ignored.
    for one in _HELD:
        signal.signal(one, signal.SIG_IGN)


def resumes(arguments: Sequence[str]) -> bool:
    """Whether these arguments are of a command that resumes where it was stopped."""
    words, command = iter(arguments), ""
    for word in words:
        if word == "-p" and not command:
            next(words, None)
        elif not word.startswith("-"):
            command = f"{command} {word}".lstrip()
            if command in RESUMABLE:
                return not {"-h", "--help"} & {*arguments}
            if " " in command:
                break
    return False


def _stop(number: int, frame: FrameType | None) -> None:
    if number != signal.SIGINT:
        if _State.stopped_by == number and time.monotonic() - _State.stopped_at < _ECHO_SECONDS:
            return  # a launcher passes on what all processes have got
        if _State.stopped_by or not resumes(_State.arguments):
            _by_default(number)
        _State.stopped_by, _State.stopped_at = number, time.monotonic()
    if _State.alone and (not _State.caught or _imports(frame)):
        _end(number)
    raise KeyboardInterrupt if number == signal.SIGINT else PreemptedError(number)


def heed_lost() -> None:
    """From now on, a signal is sent again that came while an object was taken apart, where Python drops what
    is raised."""
    known = sys.unraisablehook

    def hook(lost: Any) -> None:
        if _State.before is None or not isinstance(lost.exc_value, KeyboardInterrupt):
            known(lost)
            return
        number = lost.exc_value.number if isinstance(lost.exc_value, PreemptedError) else signal.SIGINT
        _State.stopped_by = 0
        # A moment later, when that is over.
        threading.Timer(_AGAIN_SECONDS, os.kill, (os.getpid(), number)).start()

    sys.unraisablehook = hook


def _by_default(number: int) -> None:
    # As if it had never been held: the shell sees 128 + number.
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _end(number: int) -> NoReturn:
    if number != signal.SIGINT and os.environ.get("LOCAL_RANK", "0") == "0":
        os.write(2, f"{sentence(number)}\n".encode())
    os._exit(INTERRUPTED if number == signal.SIGINT else PREEMPTED)


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


if is_program():
    hold(sys.argv[1:], alone=True)
