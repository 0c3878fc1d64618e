"""What this process reads and writes besides files: stdin, stdout and stderr, whatever state they are in.

Results that cannot be written to stdout end the command in a sentence, and never with exit code 0. Where
stderr takes nothing, messages are lost and the work continues. This module imports next to nothing, as it is
there before everything else.
"""

import contextlib
import errno
import io
import os
import stat
import sys
from typing import Any

from thalweg.errors import ThalwegError

_STDIN, _STDOUT, _STDERR = 0, 1, 2
_UTF_8 = ("utf-8", "utf8")


class OutputLostError(ThalwegError):
    """What was to be shown cannot be written.

    Args:
        error: why.

    Attributes:
        reader_gone: whoever read it, such as ``head``, has had enough.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(
            f"stdout cannot be written ({error.strerror or error}), so results cannot be shown; lead it to a "
            f"file with room, or to {os.devnull}"
        )
        self.reader_gone = error.errno == errno.EPIPE


class _Stream(io.FileIO):
    """A stream of the process, to which nothing is written any more once that has failed."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._lost = False

    def write(self, content: Any, /) -> int:
        """Write it, or drop it."""
        if self._lost:
            return memoryview(content).nbytes
        try:
            return super().write(content)
        except OSError as error:
            self._lost = True
            if self.fileno() == _STDOUT:
                raise OutputLostError(error) from error
            return memoryview(content).nbytes


def prepare() -> None:
    """Make the three streams safe to use, for a program that has the process to itself."""
    # In this order each gets its own number; a file of data that is opened later must get none of them.
    for descriptor in (_STDIN, _STDOUT, _STDERR):
        try:
            os.fstat(descriptor)
        except OSError:
            # What is written to stdout is to fail, as it does where it is closed.
            mode = os.O_WRONLY if descriptor == _STDERR else os.O_RDONLY
            os.set_inheritable(os.open(os.devnull, mode), True)
    if sys.stdin is None:
        sys.stdin = open(_STDIN, encoding="utf-8", closefd=False)  # noqa: SIM115 - for good
    sys.stdout = _text(sys.stdout, _STDOUT)
    sys.stderr = _text(sys.stderr, _STDERR)


def check() -> None:
    """Find out whether stdout takes anything, before there is anything to lose.

    Raises:
        OutputLostError: it is closed, or led to what is always full.
    """
    try:
        if stat.S_ISCHR(os.fstat(_STDOUT).st_mode):
            os.write(_STDOUT, b"")
    except OSError as error:
        raise OutputLostError(error) from error


def speak_utf_8() -> None:
    """Start the program anew in Python's UTF-8 mode where the locale is another: files and their names are
    UTF-8 whatever it says. What is shown stays in the locale's own."""
    if sys.getfilesystemencoding().lower() in _UTF_8 or sys.flags.utf8_mode or not sys.executable:
        return
    shown = getattr(sys.stdout, "encoding", None) or "utf-8"
    os.environ.setdefault("PYTHONIOENCODING", f"{shown}:backslashreplace")
    os.environ["PYTHONUTF8"] = "1"  # of processes that this one starts
    arguments = [sys.orig_argv[0], "-X", "utf8", *sys.orig_argv[1:]]
    with contextlib.suppress(OSError):
        os.execv(sys.executable, arguments)  # noqa: S606 - ourselves


def fitting(text: str, stream: Any) -> str:
    """A text in what the stream's encoding has, the rest written out as ``\\u2264`` is."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text if is_utf_8(stream) else text.encode(encoding, "backslashreplace").decode(encoding)


def is_utf_8(stream: Any) -> bool:
    """Whether the stream has every letter."""
    return (getattr(stream, "encoding", None) or "utf-8").lower() in _UTF_8


def _text(former: Any, descriptor: int) -> io.TextIOWrapper:
    if former is not None:
        with contextlib.suppress(OSError, ValueError):
            former.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Stream(descriptor)),
        encoding=getattr(former, "encoding", None) or "utf-8",
        errors="backslashreplace",
        line_buffering=descriptor == _STDERR or os.isatty(descriptor),
    )
