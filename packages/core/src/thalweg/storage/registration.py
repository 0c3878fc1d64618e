"""Secrets that a command line and its environment hold: known before anything else reads them, and masked in
what Python itself prints: logs, warnings, and tracebacks of threads and of what nobody catches."""

import contextlib
import logging
import os
import re
import sys
import threading
import traceback
import warnings
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

from thalweg.regular import parse_json
from thalweg.storage import redaction
from thalweg.storage.options import VARIABLE
from thalweg.storage.redaction import redacted
from thalweg.visible import visible

_UNDER = re.compile(
    r"(?<![\w.\"'-])([\w.\"'-]*?)storage[_-]options?((?:\.[^=\s]*)?)\s*=\s*(.*)", re.DOTALL | re.IGNORECASE
)
_PAIR = re.compile(r"-*([\w.-]+)=(.*)", re.DOTALL)

_TELLING = re.compile(r"SECRET|TOKEN|PASSW|PASSPHRASE|CREDENTIAL|AUTH|(^|_)KEY(_|$)|APIKEY", re.IGNORECASE)
_SHORTEST_WORD = 10
"""Shorter words of small letters, as in ``AWS_SECRET_ACCESS_KEY=nothing``, would mask what is no secret."""

_guarded = threading.Event()


def register_secrets(arguments: Iterable[str], environment: Mapping[str, str]) -> None:
    """Make known what must not be printed, and mask it in logs, warnings and tracebacks from now on.

    Args:
        arguments: of the command line.
        environment: of the process.
    """
    for argument in arguments:
        register_argument(argument)
    for name, value in environment.items():
        _of_environment(name, value)
    guard()


def register_argument(argument: str) -> None:
    """The same for one argument, such as ``data.storage_options.secret=...``."""
    redaction.register_text(argument)
    under = _UNDER.search(argument)
    if under is not None and under[3]:
        written = argument[under.start() + len(under[1]) :]
        name = under[2].rpartition(".")[2].strip().strip("\"'")
        redaction.register_field(name, under[3], written)
        for part in under[3].split(","):  # values of an axis
            redaction.register_field(name, part.strip())
        return
    pair = _PAIR.fullmatch(argument)
    if pair is not None and redaction.CREDENTIAL.fullmatch(pair[1]):
        redaction.register_field(pair[1], pair[2], argument.lstrip("-"))


def _of_environment(name: str, value: str) -> None:
    redaction.register_url(value)
    if name == VARIABLE:
        with contextlib.suppress(ValueError, RecursionError):
            found = parse_json(value)
            redaction.register_secrets(found if isinstance(found, Mapping) else {"": found})
        # Broken JSON is looked through as it is.
        redaction.register_text(f"{VARIABLE}={value}")
    elif _TELLING.search(name) and _is_credential(value):
        redaction.register_secrets({"secret": value})


def _is_credential(value: str) -> bool:
    if value.isdecimal() or len(value) < 6:
        return False
    if value.startswith(("/", "~", "./")) and os.path.exists(os.path.expanduser(value)):  # noqa: PTH110, PTH111
        return False
    # SSH_AUTH_SOCK and its like are places, and flags are words.
    return not (value.isalpha() and (value.islower() or value.isupper()) and len(value) < _SHORTEST_WORD)


class _Record(logging.LogRecord):
    """A record whose message and traceback hold no secret, whichever library made it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if isinstance(self.exc_info, tuple) and self.exc_info[0] is not None:
            # Handlers take this text where it is there.
            self.exc_text = redacted("".join(traceback.format_exception(*self.exc_info))).rstrip()

    def getMessage(self) -> str:
        return redacted(super().getMessage())


def guard() -> None:
    """Mask from now on, in this process. Called again, it does nothing."""
    if _guarded.is_set():
        return
    _guarded.set()
    if logging.getLogRecordFactory() is logging.LogRecord:
        logging.setLogRecordFactory(_Record)
    formatted = warnings.formatwarning

    def warning(*args: Any, **kwargs: Any) -> str:
        return redacted(formatted(*args, **kwargs))

    warnings.formatwarning = warning
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _uncaught
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _of_thread
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _unraisable


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    _say(*traceback.format_exception(kind, error, trace))


def _of_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is SystemExit:
        return
    name = "" if args.thread is None else args.thread.name
    trace = traceback.format_exception(args.exc_type, args.exc_value, args.exc_traceback)
    _say(f"Exception in thread {name}:\n", *trace)


def _unraisable(args: Any) -> None:
    trace = traceback.format_exception(args.exc_type, args.exc_value, args.exc_traceback)
    _say(f"{args.err_msg or 'Exception ignored in'}: {args.object!r}\n", *trace)


def _say(*lines: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(visible(redacted("".join(lines))))
