"""From configs back to plain mappings, with everything resolved."""

import math
from collections.abc import Mapping
from datetime import date, datetime, time
from enum import Enum
from pathlib import Path
from typing import Any

import attrs
import tomli_w

from thalweg.config.built import may_be_built
from thalweg.config.secret import is_secret, is_url
from thalweg.config.slots import slot_of
from thalweg.errors import ConfigError
from thalweg.objects import OBJECT, object_name
from thalweg.plugins import Registry, is_config
from thalweg.plugins import registry as process_registry
from thalweg.storage.redaction import redacted
from thalweg.storage.url_texts import masked as masked_urls


def dump(config: Any, registry: Registry | None = None, *, secrets: bool = False) -> dict[str, Any]:
    """A config as plain values that TOML and JSON can hold; ``structure(type(config), ...)`` undoes it.

    Components carry their ``type``, None is written ``none``, and of components in an order so is nothing;
    one of them is written as a table, several as a list. Storage options are left out, and URLs are
    written without credentials. What has no name is written as :func:`dump_component` does.

    Args:
        config: an attrs instance.
        registry: where components are looked up; the process's own by default.
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
            written = plain(value, registry, secrets=secrets)
        elif slot.table:
            written = {
                name: dump_component(slot.kind, one, registry, secrets=secrets) for name, one in value.items()
            }
        elif slot.several:
            ordered = [dump_component(slot.kind, one, registry, secrets=secrets) for one in value]
            written = ordered if len(ordered) > 1 else ordered[0] if ordered else "none"
        else:
            written = "none" if value is None else dump_component(slot.kind, value, registry, secrets=secrets)
        dumped[field.alias or field.name] = written
    return dumped


def dump_component(
    kind: str, config: Any, registry: Registry | None = None, *, secrets: bool = False
) -> dict[str, Any]:
    """A component's config with its ``type``, as :func:`thalweg.config.component` takes it.

    A config that is not registered is written with ``object = "module:QualName"`` in place of ``type``, and a
    part that is built as that alone: both have to be given again by whoever reads it.
    """
    if not is_config(config):
        return {OBJECT: object_name(config)}
    known = process_registry() if registry is None else registry
    name = known.known_as(kind, type(config))
    fields = dump(config, known, secrets=secrets) if attrs.has(type(config)) else {}
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


def _in_words(value: Any) -> Any:
    """What tells a value apart that neither TOML nor JSON can hold; None if they can, or nothing does."""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, set | frozenset):
        return sorted(map(repr, value))
    unheld = isinstance(value, bytes | complex | range) or (
        isinstance(value, float) and not math.isfinite(value)
    )
    # torch need not be there for whoever has none of its types.
    named = (type(value).__module__, type(value).__name__) in (("torch", "dtype"), ("torch", "device"))
    if unheld or named:
        return repr(value)
    if not isinstance(value, int | float) and getattr(value, "shape", None) == () and hasattr(value, "item"):
        return plain(value.item())  # a number of numpy or torch
    return None


def plain(value: Any, registry: Registry | None = None, *, secrets: bool = False) -> Any:
    """A value as TOML can hold it: ``none`` for None, lists for tuples, tables for configs and objects."""
    if value is None:
        return "none"
    if attrs.has(type(value)):
        return dump(value, registry, secrets=secrets)
    if isinstance(value, Mapping):
        return {str(key): plain(one, registry, secrets=secrets) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one, registry, secrets=secrets) for one in value]
    words = _in_words(value)
    if words is not None:
        return words
    if may_be_built(value) and not isinstance(value, Path | datetime | date | time):
        return {OBJECT: object_name(value)}
    text = str(value) if isinstance(value, Path) else value
    # A field that expects no URL may have been given one all the same.
    return masked_urls(text) if isinstance(text, str) and not secrets else text
