"""JSON documents that this program writes: without secrets, whole or not at all, with a digest of themselves.

Everything that a user may open, show or send goes through here.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thalweg.errors import DataError, ThalwegError
from thalweg.files import write_bytes
from thalweg.regular import parse_json, read_bytes, read_json
from thalweg.storage.redaction import redacted, redacted_plain

DIGEST = "digest"
"""The key of a document's own digest."""


def text_of(data: Mapping[str, Any], *, sealed: bool = False) -> str:
    """A document as text: secrets masked by value and by field.

    Args:
        data: plain values.
        sealed: put the document's own digest into it, which :func:`read_document` compares.
    """
    plain = _encodable(redacted_plain(data))
    if sealed:
        plain = {**plain, DIGEST: digest_of(plain)}
    return json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_document(path: Path, data: Mapping[str, Any], *, sealed: bool = False) -> None:
    """Write a JSON document durably; arguments as of :func:`text_of`.

    Raises:
        ThalwegError: if it cannot be written, or a number is not finite.
    """
    try:
        text = text_of(data, sealed=sealed)
    except ValueError as error:
        raise ThalwegError(f"{path} would hold a number that is not finite, and is not written") from error
    write_bytes(path, text.encode())


def write_text(path: Path, text: str) -> None:
    """Write a text durably, secrets masked.

    Raises:
        ThalwegError: if it cannot be written.
    """
    write_bytes(path, redacted(text).encode(errors="replace"))


def read_document(path: Path, what: str, cure: str, *, sealed: bool = False) -> dict[str, Any]:
    """Read a JSON document.

    Args:
        path: the file.
        what: it is, for messages, such as ``a passport``.
        cure: what to do if it is damaged, for messages.
        sealed: whether it must have a digest of itself, which is compared and left out.

    Raises:
        FileNotFoundError: if there is none.
        DataError: if it cannot be read, is no JSON table, or does not match its own digest.
    """
    try:
        return parse_document(read_bytes(path), sealed=sealed)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}); {cure}") from error
    except ValueError as error:
        raise DataError(f"{path} is damaged or not {what} ({error}); {cure}") from error


def states_format(path: Path, format: str, limit: int) -> bool:
    """Whether a JSON file says that it is of a format.

    Args:
        path: the file; one that is missing or no JSON says nothing.
        format: its name.
        limit: bytes above which it is not read.
    """
    try:
        data = read_json(path, limit)
    except (OSError, ValueError):
        return False
    return isinstance(data, dict) and data.get("format") == format


def parse_document(content: bytes, *, sealed: bool = False) -> dict[str, Any]:
    """The same from a document's bytes.

    Raises:
        ValueError: if it is no JSON table, or does not match its own digest.
    """
    data = parse_json(content)
    if not isinstance(data, dict):
        raise ValueError("it is no JSON table")
    if sealed and data.pop(DIGEST, None) != digest_of(data):
        raise ValueError("it does not match its own digest")
    return data


def digest_of(data: Mapping[str, Any]) -> str:
    """SHA-256 of plain values, the same for the same values in any order of keys.

    Raises:
        ValueError: if they are nested too deeply.
    """
    try:
        text = json.dumps(data, sort_keys=True, ensure_ascii=False)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _encodable(value: Any) -> Any:
    """Plain values without lone surrogates, which undecodable file names have and UTF-8 has not."""
    if isinstance(value, Mapping):
        return {_encodable(key): _encodable(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_encodable(one) for one in value]
    return value.encode(errors="replace").decode() if isinstance(value, str) else value
