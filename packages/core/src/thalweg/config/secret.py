"""Fields that hold credentials: they work, and are not told."""

from collections.abc import Mapping
from typing import Any

import attrs

from thalweg.errors import ConfigError
from thalweg.storage.redaction import redacted, register_secrets, register_url

_SECRET = "thalweg.secret"  # noqa: S105 - the name of a mark
_URL = "thalweg.url"

SECRET_KEY = "storage_options"  # noqa: S105 - the name of a field
"""What a field made by :func:`secret_field` is called. Faults of overrides below it show no value."""


def secret_field() -> Any:
    """A field of storage options, called ``storage_options``: ``dict[str, Any]``, empty by default.

    Its values are known as secrets from when it is read, no ``repr`` shows it, and
    :func:`thalweg.config.dump` leaves it out, so that no recipe, checkpoint or report holds it.
    """
    return attrs.field(factory=dict, converter=_secrets, repr=False, hash=False, metadata={_SECRET: True})


def url_field(default: Any = attrs.NOTHING) -> Any:
    """A field with a URL or path: ``str``. Its user info and query values are masked in ``repr`` and by
    :func:`thalweg.config.dump`.

    Args:
        default: nothing for a field that must be given.
    """
    return attrs.field(default=default, converter=_url, repr=_shown, metadata={_URL: True})


def is_secret(field: "attrs.Attribute[Any]") -> bool:
    """Whether a field holds storage options."""
    return bool(field.metadata.get(_SECRET))


def is_url(field: "attrs.Attribute[Any]") -> bool:
    """Whether a field holds a URL."""
    return bool(field.metadata.get(_URL))


def _secrets(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError("storage options must be a table")  # and no more: the value may be a secret
    register_secrets(value)
    return dict(value)


def _url(value: Any) -> Any:
    if isinstance(value, str):
        register_url(value)
    return value


def _shown(value: Any) -> str:
    return redacted(repr(value))
