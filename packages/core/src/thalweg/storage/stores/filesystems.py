"""fsspec's file systems: imported when needed, one for each protocol and options in a process."""

import json
import os
import secrets
import threading
from collections.abc import Mapping
from typing import Any

from thalweg.errors import ConfigError
from thalweg.storage.gate import PROTOCOLS
from thalweg.storage.options import merge
from thalweg.storage.redaction import redacted
from thalweg.storage.urls import WEB

_CONNECT = 10.0
_SILENCE = 30.0
_CONNECTIONS = 32

_EXTRAS = {"s3": "s3", "gs": "gcs", "http": "http", "https": "http", "hf": "hub"}

_lock = threading.Lock()
# By process too: after a fork the parent's have no thread that would run them, and stay untouched, since
# closing them would wait for it.
_open: dict[tuple[int, str, str], Any] = {}


def filesystem(scheme: str, options: Mapping[str, Any]) -> Any:
    """The file system of a protocol, shared by all threads of this process.

    fsspec's own cache of instances is passed by: it keeps threads separate, and keeps secrets. So are the
    defaults of its configuration, which are for no host in particular.

    Raises:
        ConfigError: the protocol is unknown, its package missing, or it does not take the options.
    """
    key = (os.getpid(), scheme, json.dumps(options, sort_keys=True, default=repr))
    with _lock:
        if key not in _open:
            _open[key] = _constructed(scheme, options)
        return _open[key]


def _constructed(scheme: str, options: Mapping[str, Any]) -> Any:
    import fsspec

    try:
        made = fsspec.get_filesystem_class(scheme)
    except ValueError:
        raise ConfigError(f"{scheme}:// is nothing that fsspec knows; take another protocol") from None
    except ImportError:
        extra = _EXTRAS.get(scheme)
        cure = f"pip install 'thalweg-core[{extra}]'" if extra else "install its package"
        raise ConfigError(f"{scheme}:// needs a package that is not installed: {cure}") from None
    try:
        opened = _made(made, scheme, _arguments(scheme, options))
    except ConfigError:
        raise
    except Exception as error:
        reason = redacted(f"{type(error).__name__}: {error}")
    else:
        if scheme == "s3":
            opened.retries = 1  # Trying again is ours alone: both together would multiply.
        return opened
    raise ConfigError(f"the storage options of {scheme}:// are not taken ({reason})")


def _made(kind: Any, scheme: str, arguments: dict[str, Any]) -> Any:
    if scheme not in PROTOCOLS:
        return kind(**arguments)
    # As fsspec does it, but for the defaults of its configuration (FSSPEC_..., ~/.config/fsspec), which would
    # go to whatever host a run names. Of protocols that a user has added they are the user's to know.
    arguments.pop("skip_instance_cache", None)
    opened: Any = type.__call__(kind, **arguments)
    opened._fs_token_ = secrets.token_hex(16)
    opened.storage_args, opened.storage_options = (), arguments
    if getattr(opened, "async_impl", False) and getattr(opened, "mirror_sync_methods", False):
        from fsspec.asyn import mirror_sync_methods

        mirror_sync_methods(opened)
    return opened


def _after_fork() -> None:
    # Another thread may have held it.
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def _arguments(scheme: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the file system is constructed with: timeouts, one try, no listings that have grown old.

    ``timeout`` is our own option: seconds without a byte, after which a request counts as failed.
    """
    arguments = dict(options)
    silence = arguments.pop("timeout", _SILENCE)
    ours: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    if scheme == "s3":
        from thalweg.storage.stores.s3 import UnledSession

        ours["config_kwargs"] = {
            "http_session_cls": UnledSession,
            "connect_timeout": min(_CONNECT, silence),
            "read_timeout": silence,
            "retries": {"total_max_attempts": 1},
            "max_pool_connections": _CONNECTIONS,
        }
    elif scheme in WEB:
        from thalweg.storage.stores.session import opener

        # No credentials of ~/.netrc, and no cookies: the session sends what it is given.
        ours["client_kwargs"] = {"timeout": _client_timeout(silence), "trust_env": False}
        ours["get_client"] = opener
    elif scheme == "gs":
        ours["requests_timeout"] = _client_timeout(silence)
    return merge(ours, arguments)


def _client_timeout(silence: float) -> Any:
    import aiohttp

    return aiohttp.ClientTimeout(total=None, sock_connect=min(_CONNECT, silence), sock_read=silence)
