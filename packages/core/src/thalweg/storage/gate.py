"""What a run, a model or a recipe may name: protocols and options by allow-list, by name and by value.

All of it may come from third parties. So nothing is taken that names a path, a command, a file system, a
class, a proxy, a profile or a way to write of its own; whatever is not known is refused by name.
"""

import math
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from thalweg.errors import ConfigError
from thalweg.storage.redaction import excerpt

PROTOCOLS = ("file", "memory", "s3", "gs", "http", "https", "hf")
"""Those that are taken without being added."""

ALIASES = {"local": "file", "s3a": "s3", "gcs": "gs"}
"""Other names of some."""

ADDED = "THALWEG_STORAGE_PROTOCOLS"
"""The environment variable by which a user adds others, such as ``abfs,sftp``."""

PLACELESS = ("file", "memory")
"""Protocols that take no options; those that stand beside them are for others and are passed by."""

_WRAPPERS = frozenset(
    [
        *("arrow_hdfs", "async_wrapper", "asynclocal", "asyncwrapper", "blockcache", "cached", "data", "dir"),
        *("filecache", "generic", "git", "libarchive", "local", "reference", "simplecache", "tar", "zip"),
    ]
)
"""What fsspec wraps around other file systems or local files; adding one would open all that is refused."""

_NAME = re.compile(r"[a-z][a-z0-9+.-]*")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")
_ENDPOINT = re.compile(r"https?://([^/?#@\\\s]+)(?:/[^?#@\\\s]*)?")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_KEPT_HEADERS = frozenset(
    [
        *("connection", "content-length", "expect", "host", "proxy-authorization", "proxy-connection"),
        *("range", "te", "trailer", "transfer-encoding", "upgrade"),
    ]
)
"""Those that are the connection's own."""

_LONGEST_WAIT = 86_400.0
_LONGEST_TEXT = 16_384

Check = Callable[[Any], bool]


def _text(pattern: str = r"[^\x00-\x1f\x7f]*") -> Check:
    whole = re.compile(pattern)
    return lambda value: (
        isinstance(value, str) and len(value) <= _LONGEST_TEXT and bool(whole.fullmatch(value))
    )


def _one_of(*values: str) -> Check:
    return lambda value: isinstance(value, str) and value in values


def _whole(lowest: int, highest: int) -> Check:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def is_wait(value: Any) -> bool:
    """Whether a value is a number of seconds, above 0 and no longer than a day."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and 0 < value <= _LONGEST_WAIT


def is_host(text: str) -> bool:
    """Whether a text is a host as all that read it read it, with or without a port."""
    return bool(_HOST.fullmatch(text))


def _endpoint(value: Any) -> bool:
    # Without user info, query or fragment; a path is part of some gateways' addresses.
    match = _ENDPOINT.fullmatch(value) if isinstance(value, str) else None
    return match is not None and is_host(match.group(1))


def _headers(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str)
        and bool(_HEADER.fullmatch(name))
        and name.lower() not in _KEPT_HEADERS
        and _text()(one)
        for name, one in value.items()
    )


_CONFIG = {
    "connect_timeout": is_wait,
    "read_timeout": is_wait,
    "max_pool_connections": _whole(1, 256),
    "region_name": _text(r"[a-z0-9-]{1,64}"),
    "request_checksum_calculation": _one_of("when_required", "when_supported"),
    "response_checksum_validation": _one_of("when_required", "when_supported"),
    "signature_version": _one_of("s3", "s3v4"),
    "s3": {
        "addressing_style": _one_of("auto", "path", "virtual"),
        "payload_signing_enabled": _flag,
        "use_accelerate_endpoint": _flag,
        "use_dualstack_endpoint": _flag,
    },
}

_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "s3": {
        "anon": _flag,
        "cache_regions": _flag,
        "client_kwargs": {"region_name": _text(r"[a-z0-9-]{1,64}")},
        "config_kwargs": _CONFIG,
        "default_block_size": _whole(5 << 20, 1 << 30),
        "endpoint_url": _endpoint,
        "fixed_upload_size": _flag,
        "key": _text(),
        "max_concurrency": _whole(1, 256),
        "s3_additional_kwargs": {
            "ACL": _text(r"[a-z-]{1,64}"),
            "SSEKMSKeyId": _text(r"[\w:/+=.-]{1,2048}"),
            "ServerSideEncryption": _text(r"[\w:-]{1,64}"),
            "StorageClass": _text(r"[A-Z_]{1,64}"),
        },
        "secret": _text(),
        "token": _text(),
        "version_aware": _flag,
    },
    "gs": {
        "access": _one_of("read_only", "read_write"),
        "consistency": _one_of("none", "size", "md5", "crc32c"),
        "default_location": _text(r"[\w-]{1,64}"),
        "endpoint_url": _endpoint,
        "project": _text(r"[a-z0-9:.-]{1,128}"),
        # An access token, as Google writes them: any other text would be taken for a file's path.
        "token": _text(r"anon|ya29\.[\w.-]{1,4096}"),
        "version_aware": _flag,
    },
    "http": {"encoded": _flag, "headers": _headers, "same_scheme": _flag, "simple_links": _flag},
    "hf": {"token": lambda value: value is False or _text(r"hf_\w{1,256}")(value)},
}

_WANTED: Mapping[str, str] = {
    "endpoint_url": "http:// or https:// with a host, and nothing but a path after it",
    "headers": "a table of texts, without those that belong to the connection",
    "token": "a text; for gs 'anon' or an access token (ya29...), for hf a token (hf_...) or false",
}

TAKEN_FROM_ENVIRONMENT = {"http": {**_OPTIONS["http"], "proxy": _endpoint, "ssl": _flag}}
"""More that a user may say of the web; of the others all is taken that the user's own environment says."""


def check_protocol(scheme: str) -> None:
    """Make sure that a protocol is taken.

    Raises:
        ConfigError: if it is not among the known ones, nor added by the user.
    """
    if scheme in PROTOCOLS or scheme in added_protocols():
        return
    known = ", ".join(f"{one}://" for one in PROTOCOLS)
    cure = (
        "it reaches through to other files, so it cannot be added"
        if scheme in _WRAPPERS
        else f"to add it, name it in the environment variable {ADDED}"
    )
    raise ConfigError(f"{excerpt(scheme, 40)}:// is no storage that is taken; take a path, {known}; {cure}")


def added_protocols() -> frozenset[str]:
    """The protocols that the user has added.

    Raises:
        ConfigError: if the variable holds what is no protocol, or one that may not be added.
    """
    written = [one.strip() for one in os.environ.get(ADDED, "").split(",") if one.strip()]
    for stated in written:
        if not _NAME.fullmatch(stated.lower()) or stated.lower() in _WRAPPERS:
            raise ConfigError(
                f"{ADDED} names {excerpt(stated, 40)!r}, which is no protocol that can be added; "
                "name protocols of fsspec such as abfs,sftp"
            )
    return frozenset(map(str.lower, written))


def check_options(scheme: str, options: Mapping[str, Any]) -> None:
    """Make sure that options which a run, model or recipe states are harmless.

    Raises:
        ConfigError: naming the first that is not taken, and what is; never a value.
    """
    if scheme in PLACELESS:
        return
    rules = {"timeout": is_wait, **_OPTIONS.get("http" if scheme == "https" else scheme, {})}
    if scheme not in PROTOCOLS and options.keys() - {"timeout"}:
        raise ConfigError(
            f"{scheme}:// takes no storage option but timeout from a configuration; state the others in the "
            "environment variable THALWEG_STORAGE_OPTIONS"
        )
    check_table(scheme, options, rules, "")


def check_table(scheme: str, table: Mapping[str, Any], rules: Mapping[str, Any], above: str) -> None:
    """The same of a table of options by rules: a test of the value, or a table of rules, by name.

    Raises:
        ConfigError: as :func:`check_options`.
    """
    for name, value in table.items():
        rule = rules.get(name) if isinstance(name, str) else None
        shown = f"{excerpt(str(name), 40)!r}" if not above else f"{above}{excerpt(str(name), 40)}'"
        if rule is None:
            raise ConfigError(
                f"the storage option {shown} of {scheme}:// is not taken from a configuration; taken are "
                f"{', '.join(sorted(rules))}; state it in the environment variable THALWEG_STORAGE_OPTIONS "
                "if it is your own"
            )
        if isinstance(rule, Mapping):
            if not isinstance(value, Mapping):
                raise ConfigError(f"the storage option {shown} of {scheme}:// must be a table")
            check_table(scheme, value, rule, f"{shown[:-1]}.")
        elif not rule(value):
            if rule is is_wait:
                raise ConfigError(
                    f"the storage option {shown} must be a number of seconds above 0, a day at most"
                )
            wanted = _WANTED.get(name)
            raise ConfigError(
                f"the storage option {shown} of {scheme}:// has a value that is not taken"
                + (f"; it must be {wanted}" if wanted else "; see the documentation of storage")
            )
