"""Storage options: what an argument, a URL and the environment say, over our own defaults."""

import functools
import json
import os
from collections.abc import Mapping
from typing import Any

from thalweg.errors import ConfigError
from thalweg.storage.redaction import register_secrets
from thalweg.storage.urls import WEB

VARIABLE = "THALWEG_STORAGE_OPTIONS"
"""The environment's options by protocol, in JSON: ``{"s3": {"endpoint_url": "..."}}``."""

_CONNECT = 10.0
_SILENCE = 30.0
_CONNECTIONS = 32


def options_for(scheme: str, given: Mapping[str, Any], of_url: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a protocol: given ones go before the URL's, these before the environment's.

    Raises:
        ConfigError: the environment's are no JSON.
    """
    by_protocol = _environment(os.environ.get(VARIABLE, ""))
    merged = _merged(_merged(by_protocol.get(scheme, {}), of_url), given)
    register_secrets(merged)
    return merged


def arguments_for(scheme: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the file system is constructed with: timeouts, one try, no listings that have grown old.

    ``timeout`` is our own option: seconds without a byte, after which a request counts as failed.

    Raises:
        ConfigError: the timeout is no positive number.
    """
    arguments = dict(options)
    silence = arguments.pop("timeout", _SILENCE)
    if isinstance(silence, bool) or not isinstance(silence, int | float) or not silence > 0:
        raise ConfigError("the storage option 'timeout' must be a number of seconds above 0")
    ours: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    if scheme == "s3":
        ours["config_kwargs"] = {
            "connect_timeout": min(_CONNECT, silence),
            "read_timeout": silence,
            "retries": {"total_max_attempts": 1},
            "max_pool_connections": _CONNECTIONS,
        }
    elif scheme in WEB:
        ours["client_kwargs"] = {"timeout": _client_timeout(silence), "trust_env": True}
    elif scheme == "gs":
        ours["requests_timeout"] = _client_timeout(silence)
    return _merged(ours, arguments)


def _client_timeout(silence: float) -> Any:
    import aiohttp

    return aiohttp.ClientTimeout(total=None, sock_connect=min(_CONNECT, silence), sock_read=silence)


@functools.lru_cache(maxsize=8)
def _environment(text: str) -> dict[str, dict[str, Any]]:
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise ConfigError(f'{VARIABLE} must be JSON such as {{"s3": {{"key": "...", "secret": "..."}}}}')
    for one in found.values():
        register_secrets(one)
    return found


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(below)
    for name, value in above.items():
        under = both.get(name)
        nested = isinstance(under, Mapping) and isinstance(value, Mapping)
        both[name] = _merged(under, value) if nested else value  # type: ignore[arg-type]
    return both
