"""The metadata files of one installed distribution, read with nothing taken for granted."""

import importlib.metadata
import io
import re
from collections.abc import Iterator
from pathlib import Path

import attrs

from thalweg.regular import read_bytes

ENTRY_POINTS = "entry_points.txt"
_DESCRIPTIONS = ("METADATA", "PKG-INFO")
_LARGEST = 16 * 2**20
_HEADER = re.compile(r"[!-9;-~]*:|[\t ]+\S")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
# As packaging writes them: a module, an object in it, extras that are of no use here.
_PART = r"[^\W\d]\w*"
_REFERENCE = re.compile(rf"({_PART}(?:\.{_PART})*)\s*(?::\s*({_PART}(?:\.{_PART})*))?\s*(?:\[.*\])?")


class DamagedError(Exception):
    """Why the metadata of a distribution cannot be used."""


@attrs.frozen
class Reference:
    """What an entry point names.

    Attributes:
        module: the module.
        attribute: the object in it, dotted; empty for the module itself.
    """

    module: str
    attribute: str


def entries(distribution: importlib.metadata.Distribution) -> list[tuple[str, str, str]]:
    """Group, name and value of every entry point, in the order of the file; groups may come in pieces.

    Raises:
        DamagedError: if the file is there and cannot be read to its end.
    """
    group, found = "", []
    for number, line in enumerate(_text(distribution, ENTRY_POINTS).splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1].strip()
        elif group:
            name, equals, value = line.partition("=")
            if not equals:
                raise DamagedError(f"has an {ENTRY_POINTS} that cannot be read: line {number} has no '='")
            found.append((group, name.strip(), value.strip()))
    return found


def identity(distribution: importlib.metadata.Distribution) -> tuple[str, str]:
    """Its name and version.

    Raises:
        DamagedError: if they are not stated, or not readably.
    """
    text = next((text for name in _DESCRIPTIONS if (text := _text(distribution, name))), "")
    if not text:
        raise DamagedError("has no METADATA")
    fields: dict[str, str] = {}
    for key, value in _headers(text):
        fields.setdefault(key, value)
    for field in ("name", "version"):
        if not fields.get(field):
            raise DamagedError(f"has a METADATA that states no {field.capitalize()}")
    if not _NAME.fullmatch(fields["name"]):
        raise DamagedError(f"has a METADATA that states the Name {fields['name']!r}, which is none")
    return fields["name"], fields["version"]


def folder_name(distribution: importlib.metadata.Distribution) -> tuple[str, str]:
    """Its name and version as its folder has them; empty where nothing tells."""
    path = getattr(distribution, "_path", None)
    stem = getattr(path, "name", "").rpartition(".")[0]
    name, _, version = stem.partition("-")
    return name, version.partition("-")[0]


def reference(value: str) -> Reference | None:
    """What the value of an entry point names; None if it is no name of an object."""
    match = _REFERENCE.fullmatch(value)
    return Reference(match[1], match[2] or "") if match else None


def _headers(text: str) -> Iterator[tuple[str, str]]:
    # Line by line, as a whole README may follow; to where others that read it see headers end.
    for line in io.StringIO(text):
        if not _HEADER.match(line):
            return
        key, _, value = line.partition(":")
        yield key.lower(), value.strip()


def _text(distribution: importlib.metadata.Distribution, name: str) -> str:
    """A file of it as text; empty if there is none."""
    try:
        content = _content(distribution, name)
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content or ""
        if "\0" in text:
            raise ValueError("it is no text")
    except OSError as error:
        raise DamagedError(f"has an unreadable {name}: {error.strerror or type(error).__name__}") from error
    except UnicodeDecodeError as error:
        raise DamagedError(f"has an unreadable {name}: it is no UTF-8 (byte {error.start})") from error
    # A finder may be anybody's, and raise anything.
    except Exception as error:
        raise DamagedError(f"has an unreadable {name}: {error}") from error
    return text


def _content(distribution: importlib.metadata.Distribution, name: str) -> bytes | str | None:
    path = getattr(distribution, "_path", None)
    if not isinstance(path, Path):
        # Within a zip file, or of a finder of its own.
        return distribution.read_text(name)
    try:
        return read_bytes(path / name, _LARGEST)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        # Old installers wrote an egg-info as one file, without entry points.
        if path.suffix == ".dist-info":
            raise
        return None
