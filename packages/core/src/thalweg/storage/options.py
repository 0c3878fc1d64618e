"""Storage options: what an argument, a URL and the environment say, over our own defaults.

Options of the environment are the user's own, each bound to the host or bucket that it is for.
"""

import functools
import json
import os
from collections.abc import Mapping
from typing import Any

from thalweg.errors import ConfigError
from thalweg.regular import parse_json
from thalweg.storage.gate import (
    ALIASES,
    PLACELESS,
    PROTOCOLS,
    TAKEN_FROM_ENVIRONMENT,
    added_protocols,
    check_options,
    check_table,
    is_host,
    is_wait,
)
from thalweg.storage.redaction import excerpt, register_secrets

VARIABLE = "THALWEG_STORAGE_OPTIONS"
"""JSON: ``{"s3": {...}, "s3://bucket": {...}, "https://host:8443": {"headers": {...}}}``."""

_CREDENTIALS = frozenset(["key", "secret", "token", "anon", "username", "password", "profile", "session"])
"""Options that say who asks."""

_PORTS = {"http": 80, "https": 443}

_OF_AN_ENDPOINT = ("s3", "gs")
"""Protocols whose credentials may stand under the protocol alone: they count for its endpoint alone."""


def options_for(
    scheme: str, authority: str, given: Mapping[str, Any], of_url: Mapping[str, Any]
) -> dict[str, Any]:
    """The options for a place: given ones go before the URL's, these before the environment's.

    Credentials of the environment, and those that a backend would find by itself, are for the environment's
    own endpoint: who states another one has to bring credentials along.

    Args:
        scheme: the protocol.
        authority: host or bucket: what follows ``://`` up to the first slash, without user info.
        given: by an argument.
        of_url: those that the URL's user info stands for.

    Raises:
        ConfigError: if an option is not taken, if the environment's cannot be read or state a credential for
            no host, or if an endpoint is stated without credentials for it.
    """
    register_secrets(given)
    check_options(scheme, given)
    if scheme in PLACELESS:
        return {}
    below, own = _stated_for(scheme, authority), merge(of_url, given)
    if scheme in _OF_AN_ENDPOINT:
        ours = _endpoint_of(scheme, below)
        if "endpoint_url" in own and _normal_endpoint(own["endpoint_url"]) != ours:
            _check_own_credentials(scheme, own)
            # Nothing but what says how long to wait: tables of the environment may hold keys too.
            below = {name: value for name, value in below.items() if name == "timeout"}
        elif own.keys() & _CREDENTIALS:
            # Never half of the one and half of the other.
            below = _without_credentials(below)
    merged = merge(below, own)
    register_secrets(merged)
    return merged


def _check_own_credentials(scheme: str, own: Mapping[str, Any]) -> None:
    if scheme == "s3":
        whole = own.get("anon") is True or (own.get("key") and own.get("secret"))
        fix = "give key and secret beside it, or anon = true"
    else:
        whole = bool(own.get("token"))
        fix = "give token = 'anon' or a token beside it"
    if not whole:
        raise ConfigError(
            f"the storage option endpoint_url of {scheme}:// names a server that your own credentials are "
            f"not for; {fix}, or state the endpoint and its credentials together in {VARIABLE}"
        )


def _without_credentials(options: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in options.items() if name not in _CREDENTIALS}
    client = kept.get("client_kwargs")
    if isinstance(client, Mapping):
        kept["client_kwargs"] = {name: one for name, one in client.items() if not name.startswith("aws_")}
    return kept


def _stated_for(scheme: str, authority: str) -> dict[str, Any]:
    """The environment's options for a host or bucket."""
    table = _parsed(os.environ.get(VARIABLE, ""), added_protocols())
    bare, bound = table.get((scheme, ""), {}), table.get((scheme, _normal(scheme, authority)), {})
    # What is for another endpoint is not for this one.
    return dict(bound) if "endpoint_url" in bound else merge(bare, bound)


def _endpoint_of(scheme: str, stated: Mapping[str, Any]) -> str:
    """The address that credentials of the environment are for; empty for the protocol's own."""
    # Where the backend itself would go, if the user's environment says so.
    names = {"s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"), "gs": ("STORAGE_EMULATOR_HOST",)}
    own = next((os.environ[one] for one in names.get(scheme, ()) if os.environ.get(one)), "")
    return _normal_endpoint(str(stated.get("endpoint_url") or own))


def _normal(scheme: str, authority: str) -> str:
    """An authority by which places are distinguished: hosts in small letters, default ports left out."""
    if scheme in ("s3", "gs", "hf"):
        return authority
    host = authority.rpartition("@")[2].lower()
    return host.removesuffix(f":{_PORTS[scheme]}") if scheme in _PORTS else host


def _normal_endpoint(url: str) -> str:
    """An endpoint by which endpoints are distinguished."""
    scheme, _, rest = url.partition("://")
    authority, _, path = rest.partition("/")
    return f"{scheme.lower()}://{_normal(scheme.lower(), authority)}/{path}".rstrip("/")


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two tables in one, nested ones too; the second goes before the first."""
    both = dict(below)
    for name, value in above.items():
        under = both.get(name)
        nested = isinstance(under, Mapping) and isinstance(value, Mapping)
        both[name] = merge(under, value) if nested else value  # type: ignore[arg-type]
    return both


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
    if separator and (not authority or "/" in authority or (scheme in _PORTS and not is_host(authority))):
        raise ConfigError(
            f"{VARIABLE} has options for {scheme}:// and what is no host or bucket; write "
            "protocol://host, with a port if it is not the usual one, or protocol://bucket"
        )
    if not is_wait(options.get("timeout", 1)):
        raise ConfigError(f"'timeout' in {VARIABLE} must be a number of seconds above 0, a day at most")
    if scheme in _PORTS:
        check_table(scheme, options, {"timeout": is_wait, **TAKEN_FROM_ENVIRONMENT["http"]}, "")
    unbound = scheme not in (*_OF_AN_ENDPOINT, *PLACELESS, "hf")
    if not authority and unbound and options.keys() - {"timeout"}:
        raise ConfigError(
            f"{VARIABLE} gives options to all of {scheme}://, which would send them to whatever host a run "
            f"names; bind them to their own, as in {json.dumps({f'{scheme}://HOST': {'...': '...'}})}"
        )
    return scheme, _normal(scheme, authority)
