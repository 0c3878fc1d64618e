"""All secrets that a command line and its environment hold, made known before anything is looked at."""

import contextlib
import os
import re
from collections.abc import Iterable, Mapping

from thalweg.regular import parse_json
from thalweg.storage import redaction
from thalweg.storage.guards import guard

_OPTION = "--storage-option"
_UNDER = re.compile(
    r"(?<![\w.\"'-])([\w.\"'-]*?)storage[_-]options?((?:\.[^=\s]*)?)\s*=\s*(.*)", re.DOTALL | re.IGNORECASE
)
_PAIR = re.compile(r"-*([\w.-]+)=(.*)", re.DOTALL)
_ENVIRONMENT = "THALWEG_STORAGE_OPTIONS"

_TELLING = re.compile(r"SECRET|TOKEN|PASSW|PASSPHRASE|CREDENTIAL|AUTH|(^|_)KEY(_|$)|APIKEY", re.IGNORECASE)
_SHORTEST_WORD = 10
"""Shorter words of small letters, as in ``AWS_SECRET_ACCESS_KEY=nothing``, would mask what is no secret."""


def feed(arguments: Iterable[str], environment: Mapping[str, str]) -> None:
    """Make known what must not be told, and mask it in logs, warnings and tracebacks from now on.

    Args:
        arguments: of the command line.
        environment: of the process.
    """
    before = ""
    for argument in arguments:
        feed_argument(argument)
        if before == _OPTION:
            _of_option(argument)
        elif argument.startswith(f"{_OPTION}="):
            _of_option(argument.partition("=")[2])
        before = argument
    for name, value in environment.items():
        _of_environment(name, value)
    guard()


def feed_argument(argument: str) -> None:
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


def _of_option(text: str) -> None:
    name, equals, value = text.partition("=")
    if equals and value:
        redaction.register_field(name.strip(), value, text)
    elif len(text) > _SHORTEST_WORD:
        redaction.register_secrets({"secret": text})  # not of the form name=value, and told in an error


def _of_environment(name: str, value: str) -> None:
    redaction.register_url(value)
    if name == _ENVIRONMENT:
        with contextlib.suppress(ValueError, RecursionError):
            found = parse_json(value)
            redaction.register_secrets(found if isinstance(found, Mapping) else {"": found})
        # Broken JSON is looked through as it is.
        redaction.register_text(f"{_ENVIRONMENT}={value}")
    elif _TELLING.search(name) and _is_credential(value):
        redaction.register_secrets({"secret": value})


def _is_credential(value: str) -> bool:
    if value.isdecimal() or len(value) < 6:
        return False
    if value.startswith(("/", "~", "./")) and os.path.exists(os.path.expanduser(value)):  # noqa: PTH110, PTH111
        return False
    # SSH_AUTH_SOCK and its like are places, and flags are words.
    return not (value.isalpha() and (value.islower() or value.isupper()) and len(value) < _SHORTEST_WORD)
