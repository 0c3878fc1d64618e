"""What the command line prints: results on stdout, everything else on stderr.

Colour is for terminals only, and not where ``NO_COLOR`` is set. Credentials are masked in all of it, and
control characters are written out: names may come from third parties.
"""

import contextlib
import errno
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from thalweg.cli.streams import OutputLostError, fitting, is_utf_8
from thalweg.storage.redaction import redacted, redacted_plain
from thalweg.visible import visible, visible_json, visible_message

_WARNING, _ERROR = click.style("warning: ", fg="yellow"), click.style("error: ", fg="red", bold=True)


def result(text: str) -> None:
    """A result: stdout.

    Raises:
        OutputLostError: it cannot be written.
    """
    _show(visible(redacted(text)))


def result_json(data: Any) -> None:
    """A result for programs: stdout.

    Raises:
        OutputLostError: it cannot be written.
    """
    plain = not is_utf_8(sys.stdout)  # what is written out must be JSON's own escapes
    _show(visible_json(json.dumps(redacted_plain(data), indent=2, ensure_ascii=plain, allow_nan=False)))


def flush() -> None:
    """Write what is left to be written to stdout.

    Raises:
        OutputLostError: that is not possible.
    """
    with _kept():
        if sys.stdout is not None:
            sys.stdout.flush()


def say(text: str) -> None:
    """Progress, or what is being done: stderr."""
    _message("", text)


def say_lines(text: str) -> None:
    """The same, of a text that has lines of its own, such as a traceback."""
    _tell(visible(redacted(text)))


def warn(text: str) -> None:
    """Something that the user should know, and that stops nothing: stderr."""
    _message(_WARNING, text)


def fail(text: str) -> None:
    """Why the command failed: stderr."""
    _message(_ERROR, text)


@contextmanager
def logged() -> Iterator[None]:
    """What the library logs is printed as everything else is."""
    logger, handler = logging.getLogger("thalweg"), _Printing(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Printing(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Print a message as a line of its own."""
        try:
            _message(_WARNING if record.levelno < logging.ERROR else _ERROR, record.getMessage())
        except Exception:
            self.handleError(record)


def _message(kind: str, text: str) -> None:
    _tell(kind + visible_message(redacted(text)))


def _show(text: str) -> None:
    with _kept():
        if sys.stdout is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        click.echo(fitting(text, sys.stdout), color=_color())


def _tell(text: str) -> None:
    # Without stderr there is nowhere to say that it is not there.
    with contextlib.suppress(OSError):
        click.echo(fitting(text, sys.stderr), err=True, color=_color())


@contextmanager
def _kept() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputLostError(error) from error


def _color() -> bool | None:
    # None leaves it to click, which asks whether the stream is a terminal.
    return False if os.environ.get("NO_COLOR") else None
