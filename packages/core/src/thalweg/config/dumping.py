"""From configs back to plain values, and the configuration that a run's folder records.

What is recorded is TOML whose last line is a digest of the lines before.
"""

import hashlib
import math
import re
import tomllib
from collections.abc import Mapping
from datetime import date, datetime, time
from enum import Enum
from pathlib import Path
from typing import Any

import attrs
import tomli_w

from thalweg.config.components import may_be_built
from thalweg.config.values import is_secret, is_url, key_of, slot_of
from thalweg.errors import ConfigError, DataError
from thalweg.objects import OBJECT, object_name
from thalweg.plugins import is_config, registry
from thalweg.plugins.recording import FILES_KEY, note_files
from thalweg.regular import read_bytes
from thalweg.storage.redaction import redacted, redacted_plain
from thalweg.storage.url_texts import masked as masked_urls

CONFIG = "config.toml"
"""Its name in the folder."""

_LARGEST = 16 * 2**20
_SEAL = re.compile(rb'# sha256 = "([0-9a-f]{64})"\n\Z')


def dump(config: Any, *, secrets: bool = False) -> dict[str, Any]:
    """A config as plain values that TOML and JSON can hold; ``structure(type(config), ...)`` undoes it.

    Components carry their ``type``, None is written ``none``, and of components in an order so is nothing;
    one of them is written as a table, several as a list. Storage options are left out, and URLs are
    written without credentials. What has no name is written as :func:`dump_component` does.

    Args:
        config: an attrs instance.
        secrets: keep both after all: for a pipe to another process of this command, and for nothing else.
    """
    dumped = {}
    for field in attrs.fields(type(config)):
        if not field.init or (is_secret(field) and not secrets):
            continue
        value, slot = getattr(config, field.name), slot_of(field)
        if is_url(field) and isinstance(value, str) and not secrets:
            written: Any = redacted(value)
        elif slot is None:
            written = plain(value, secrets=secrets)
        elif slot.table:
            written = {name: dump_component(slot.kind, one, secrets=secrets) for name, one in value.items()}
        elif slot.several:
            ordered = [dump_component(slot.kind, one, secrets=secrets) for one in value]
            written = ordered if len(ordered) > 1 else ordered[0] if ordered else "none"
        else:
            written = "none" if value is None else dump_component(slot.kind, value, secrets=secrets)
        dumped[key_of(field)] = written
    return dumped


def dump_component(kind: str, config: Any, *, secrets: bool = False) -> dict[str, Any]:
    """A component's config with its ``type``, as :func:`thalweg.config.component` takes it.

    A config that is not registered is written with ``object = "module:QualName"`` in place of ``type``, and a
    part that is built as that alone: both have to be given again by whoever reads it.
    """
    if not is_config(config):
        return {OBJECT: object_name(config)}
    name = registry().name_of(kind, type(config))
    fields = dump(config, secrets=secrets) if attrs.has(type(config)) else {}
    return {OBJECT: object_name(config), **fields} if name is None else {"type": name, **fields}


def to_toml(data: Mapping[str, Any]) -> str:
    """Plain values as TOML text.

    Raises:
        ConfigError: a text among them is no UTF-8, as paths need not be.
    """
    text = tomli_w.dumps(data)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        line = text[text.rfind("\n", 0, error.start) + 1 : error.end].encode(errors="backslashreplace")
        raise ConfigError(
            f"the configuration holds bytes that are no UTF-8 text, at {line.decode()}; rename what it "
            "names, or give a link to it"
        ) from None
    return text


def plain(value: Any, *, secrets: bool = False) -> Any:
    """A value as TOML can hold it: ``none`` for None, lists for tuples, tables for configs and objects."""
    if value is None:
        return "none"
    if attrs.has(type(value)):
        return dump(value, secrets=secrets)
    if isinstance(value, Mapping):
        return {str(key): plain(one, secrets=secrets) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one, secrets=secrets) for one in value]
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, set | frozenset):
        return sorted(map(repr, value))
    if isinstance(value, bytes | complex | range) or (isinstance(value, float) and not math.isfinite(value)):
        return repr(value)
    # torch need not be there for whoever has none of its types.
    if (type(value).__module__, type(value).__name__) in (("torch", "dtype"), ("torch", "device")):
        return repr(value)
    if not isinstance(value, int | float) and getattr(value, "shape", None) == () and hasattr(value, "item"):
        return plain(value.item())  # a number of numpy or torch
    if may_be_built(value) and not isinstance(value, Path | datetime | date | time):
        return {OBJECT: object_name(value)}
    text = str(value) if isinstance(value, Path) else value
    # A field that expects no URL may have been given one all the same.
    return masked_urls(text) if isinstance(text, str) and not secrets else text


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Leaves by dotted path."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            leaves |= flat(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def recorded_text(data: Mapping[str, Any]) -> str:
    """A configuration in plain values as text, secrets masked, with its digest."""
    text = to_toml(redacted_plain(data))
    return f'{text}# sha256 = "{hashlib.sha256(text.encode()).hexdigest()}"\n'


def parse_recorded(content: bytes) -> dict[str, Any]:
    """The configuration in plain values.

    Raises:
        ValueError: if the content is not what :func:`recorded_text` gave; it says what is wrong, in words.
    """
    if not content.strip(b"\0"):
        raise ValueError("it is empty")
    seal = _SEAL.search(content)
    if seal is None:
        raise ValueError("its last line, with its SHA-256, is missing")
    text = content[: seal.start()]
    if hashlib.sha256(text).hexdigest() != seal[1].decode():
        raise ValueError("it does not match its own SHA-256")
    try:
        return tomllib.loads(text.decode())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_recorded(path: Path) -> dict[str, Any]:
    """The configuration of the run whose ``config.toml`` this is.

    Plugin files that it was trained with and that are not loaded are noted, and named in the error where one
    of their components is requested.

    Raises:
        FileNotFoundError: if there is none.
        DataError: if it cannot be read, or is damaged.
    """
    try:
        found = parse_recorded(read_bytes(path, _LARGEST))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror or error}); give permission there"
        ) from error
    except ValueError as error:
        raise DataError(
            f"{path} is damaged ({error}); put a copy in its place, or train the run once more, which "
            f"restores it from a checkpoint"
        ) from error
    note_files(found.get(FILES_KEY), str(path))
    return found
