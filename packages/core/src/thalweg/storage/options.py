"""Storage options: what an argument, a URL and the environment say, over our own defaults."""

from collections.abc import Mapping
from typing import Any

from thalweg.errors import ConfigError
from thalweg.storage.environment import CREDENTIALS, VARIABLE, merge, normal_endpoint, stated_for
from thalweg.storage.gate import PLACELESS, check_options
from thalweg.storage.redaction import register_secrets
from thalweg.storage.urls import WEB

_CONNECT = 10.0
_SILENCE = 30.0
_CONNECTIONS = 32


def options_for(
    scheme: str, authority: str, given: Mapping[str, Any], of_url: Mapping[str, Any]
) -> dict[str, Any]:
    """The options for a place: given ones go before the URL's, these before the environment's.

    Credentials of the environment, and those that a backend would find by itself, are for the environment's
    own endpoint: who states another one has to bring credentials along.

    Raises:
        ConfigError: if an option is not taken, if the environment's cannot be read, or if an endpoint is
            stated without credentials for it.
    """
    register_secrets(given)
    check_options(scheme, given)
    if scheme in PLACELESS:
        return {}
    stated = stated_for(scheme, authority)
    own = merge(of_url, given)
    below = dict(stated.options)
    if scheme in ("s3", "gs"):
        elsewhere = "endpoint_url" in own and normal_endpoint(own["endpoint_url"]) != normal_endpoint(
            stated.endpoint
        )
        if elsewhere:
            _check_own_credentials(scheme, own)
            # Nothing but what says how long to wait: tables of the environment may hold keys too.
            below = {name: value for name, value in below.items() if name == "timeout"}
        elif own.keys() & CREDENTIALS:
            # Never half of the one and half of the other.
            below = _without_credentials(below)
    merged = merge(below, own)
    register_secrets(merged)
    return merged


def arguments_for(scheme: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the file system is constructed with: timeouts, one try, no listings that have grown old.

    ``timeout`` is our own option: seconds without a byte, after which a request counts as failed.
    """
    arguments = dict(options)
    silence = arguments.pop("timeout", _SILENCE)
    ours: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    if scheme == "s3":
        from thalweg.storage.stores.s3_session import UnledSession

        ours["config_kwargs"] = {
            "http_session_cls": UnledSession,
            "connect_timeout": min(_CONNECT, silence),
            "read_timeout": silence,
            "retries": {"total_max_attempts": 1},
            "max_pool_connections": _CONNECTIONS,
        }
    elif scheme in WEB:
        from thalweg.storage.stores.session import opener

        # No credentials of ~/.netrc, and no cookies: the session sends what it is told to.
        ours["client_kwargs"] = {"timeout": _client_timeout(silence), "trust_env": False}
        ours["get_client"] = opener
    elif scheme == "gs":
        ours["requests_timeout"] = _client_timeout(silence)
    return merge(ours, arguments)


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
    kept = {name: value for name, value in options.items() if name not in CREDENTIALS}
    client = kept.get("client_kwargs")
    if isinstance(client, Mapping):
        kept["client_kwargs"] = {name: one for name, one in client.items() if not name.startswith("aws_")}
    return kept


def _client_timeout(silence: float) -> Any:
    import aiohttp

    return aiohttp.ClientTimeout(total=None, sock_connect=min(_CONNECT, silence), sock_read=silence)
