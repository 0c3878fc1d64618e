"""The user's own storage options, from the environment, each bound to the host or bucket that it is for."""

import functools
import json
import os
from collections.abc import Mapping
from typing import Any

import attrs

from thalweg.errors import ConfigError
from thalweg.regular import parse_json
from thalweg.storage.gate import (
    PLACELESS,
    PROTOCOLS,
    TAKEN_FROM_ENVIRONMENT,
    added_protocols,
    check_table,
    is_host,
    is_wait,
)
from thalweg.storage.redaction import excerpt, register_secrets

VARIABLE = "THALWEG_STORAGE_OPTIONS"
"""JSON: ``{"s3": {...}, "s3://bucket": {...}, "https://host:8443": {"headers": {...}}}``."""

CREDENTIALS = frozenset(["key", "secret", "token", "anon", "username", "password", "profile", "session"])
"""Options that say who asks."""

ALIASES = {"local": "file", "s3a": "s3", "gcs": "gs"}
PORTS = {"http": 80, "https": 443}

_OF_AN_ENDPOINT = ("s3", "gs")
"""Protocols whose credentials may stand under the protocol alone: they count for its endpoint alone."""


@attrs.frozen
class Stated:
    """What the environment says for a place.

    Attributes:
        options: merged.
        endpoint: address that credentials of the environment are for; empty for the protocol's own.
    """

    options: Mapping[str, Any]
    endpoint: str


def stated_for(scheme: str, authority: str) -> Stated:
    """The environment's options for a host or bucket.

    Args:
        scheme: the protocol.
        authority: what follows ``://`` up to the first slash, without user info.

    Raises:
        ConfigError: if the variable cannot be read, or states a credential for no host.
    """
    table = _parsed(os.environ.get(VARIABLE, ""), added_protocols())
    bare, bound = table.get((scheme, ""), {}), table.get((scheme, normal(scheme, authority)), {})
    # What is for another endpoint is not for this one.
    merged = dict(bound) if "endpoint_url" in bound else merge(bare, bound)
    return Stated(merged, str(merged.get("endpoint_url") or _own_endpoint(scheme)))


def normal(scheme: str, authority: str) -> str:
    """An authority by which places are told apart: hosts in small letters, default ports left out."""
    if scheme in ("s3", "gs", "hf"):
        return authority
    host = authority.rpartition("@")[2].lower()
    return host.removesuffix(f":{PORTS[scheme]}") if scheme in PORTS else host


def normal_endpoint(url: str) -> str:
    """An endpoint by which endpoints are told apart."""
    scheme, _, rest = url.partition("://")
    authority, _, path = rest.partition("/")
    return f"{scheme.lower()}://{normal(scheme.lower(), authority)}/{path}".rstrip("/")


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two tables in one, nested ones too; the second goes before the first."""
    both = dict(below)
    for name, value in above.items():
        under = both.get(name)
        nested = isinstance(under, Mapping) and isinstance(value, Mapping)
        both[name] = merge(under, value) if nested else value  # type: ignore[arg-type]
    return both


def _own_endpoint(scheme: str) -> str:
    """Where the backend itself would go, if the user's environment says so."""
    names = {"s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"), "gs": ("STORAGE_EMULATOR_HOST",)}
    return next((os.environ[one] for one in names.get(scheme, ()) if os.environ.get(one)), "")


@functools.lru_cache(maxsize=8)
def _parsed(text: str, added: frozenset[str]) -> dict[tuple[str, str], dict[str, Any]]:
    """By protocol and authority; an empty one stands for all."""
    if not text:
        return {}
    try:
        found = parse_json(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise ConfigError(
            f'{VARIABLE} must be JSON such as {{"s3": {{"key": "...", "secret": "..."}}, '
            '"https://host": {"headers": {...}}}'
        )
    for one in found.values():
        register_secrets(one)
    return {_place(key, options, added): options for key, options in found.items()}


def _place(key: str, options: Mapping[str, Any], added: frozenset[str]) -> tuple[str, str]:
    name, separator, authority = key.partition("://")
    scheme = ALIASES.get(name.strip().lower(), name.strip().lower())
    authority = authority.rstrip("/")
    if scheme not in PROTOCOLS and scheme not in added:
        raise ConfigError(
            f"{VARIABLE} has options for {excerpt(key, 60)!r}, which is no protocol that is taken; write a "
            "protocol, or protocol://host or protocol://bucket"
        )
    if separator and (not authority or "/" in authority or (scheme in PORTS and not is_host(authority))):
        raise ConfigError(
            f"{VARIABLE} has options for {scheme}:// and what is no host or bucket; write "
            "protocol://host, with a port if it is not the usual one, or protocol://bucket"
        )
    if not is_wait(options.get("timeout", 1)):
        raise ConfigError(f"'timeout' in {VARIABLE} must be a number of seconds above 0, a day at most")
    if scheme in PORTS:
        check_table(scheme, options, {"timeout": is_wait, **TAKEN_FROM_ENVIRONMENT["http"]}, "")
    unbound = scheme not in (*_OF_AN_ENDPOINT, *PLACELESS, "hf")
    if not authority and unbound and options.keys() - {"timeout"}:
        raise ConfigError(
            f"{VARIABLE} gives options to all of {scheme}://, which would send them to whatever host a run "
            f"names; bind them to their own, as in {json.dumps({f'{scheme}://HOST': {'...': '...'}})}"
        )
    return scheme, normal(scheme, authority)
