"""What Python itself prints, masked: logs, warnings, and tracebacks of threads and of what nobody catches."""

import logging
import sys
import threading
import traceback
import warnings
from types import TracebackType
from typing import Any

from thalweg.storage.redaction import redacted
from thalweg.visible import visible

_guarded = threading.Event()


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
    _say("".join(traceback.format_exception(kind, error, trace)))


def _of_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is SystemExit:
        return
    name = "" if args.thread is None else args.thread.name
    _say(f"Exception in thread {name}:\n")
    _say("".join(traceback.format_exception(args.exc_type, args.exc_value, args.exc_traceback)))


def _unraisable(args: Any) -> None:
    _say(f"{args.err_msg or 'Exception ignored in'}: {args.object!r}\n")
    _say("".join(traceback.format_exception(args.exc_type, args.exc_value, args.exc_traceback)))


def _say(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(visible(redacted(text)))
