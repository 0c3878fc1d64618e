"""What must not be told: user info and query values of URLs, and secrets of storage options."""

import base64
import json
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote

MASK = "***"

OPTIONS = "storage_options"
"""What a table of storage options is called wherever one stands."""

_SHORTEST = 6
"""Shorter values are not registered: replacing them would tear words apart that mean something else."""

_SHORTEST_IN_QUERY = 16
"""The same for query values whose name does not say that they are secret."""

_PUBLIC = frozenset(
    [
        *("endpoint_url", "region_name", "profile", "project", "location", "access", "consistency"),
        *("addressing_style", "signature_version", "request_checksum_calculation"),
        *("response_checksum_validation", "accept", "accept-encoding", "accept-language"),
        *("content-type", "user-agent"),
    ]
)
"""Options whose values may be told. All others are secrets, as nobody knows every backend's names."""

_WORDS = frozenset(["google_default", "browser"])
"""Values that choose a way of signing in rather than being a credential."""

_WORD = re.compile(r"[a-z]+([-_:/][a-z]+)*")
"""What is no secret unless its name says so: ``acl = "private"`` must not mask that word everywhere."""

_TELLING = re.compile(r"key|secret|token|sig|pass|cred|auth", re.IGNORECASE)

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)([^\s\"'<>`]+)")
# Up to the last @ of the authority; or, where a password with a slash was not quoted, of all the rest.
_USER = re.compile(r"[^/?#]*@|[^/?#@:]*:(?!\d*(?:[/?#]|$)).*@")

_lock = threading.Lock()
_secrets: set[str] = set()
_pattern: re.Pattern[str] | None = None


def redacted(text: str) -> str:
    """A text with ``***`` for user info and query values of every URL in it, and for all known secrets."""
    # Secrets first: a URL may end within a secret that has a blank.
    if _pattern is not None:
        text = _pattern.sub(MASK, text)
    return _URL.sub(_masked, text) if "://" in text else text


def redacted_plain(value: Any) -> Any:
    """Plain values with all texts as :func:`redacted` gives them, and storage options masked by their names.

    Args:
        value: mappings, lists, tuples and what JSON or TOML can hold; tuples become lists.
    """
    if isinstance(value, Mapping):
        return {
            redacted(str(key)): _masked_options(one) if key == OPTIONS else redacted_plain(one)
            for key, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [redacted_plain(one) for one in value]
    return redacted(value) if isinstance(value, str) else value


def _masked_options(options: Any) -> Any:
    if isinstance(options, Mapping):
        return {
            str(name): redacted_plain(one) if str(name).lower() in _PUBLIC else _masked_options(one)
            for name, one in options.items()
        }
    return MASK


def register_secrets(options: Mapping[str, Any]) -> None:
    """Make the values of storage options known as secrets, so that :func:`redacted` masks them.

    Args:
        options: nested as it may be. Values under names known to be harmless, such as ``endpoint_url``,
            and values shorter than 6 characters stay visible; so do numbers and plain words, unless the
            name says that they are secret, as ``password`` does.
    """
    _add(set(_values(options, "")))


def register_url(url: str) -> None:
    """The same for the user info of a URL and for what in its query looks like a secret."""
    _add(set(_in_url(url)))


def _masked(match: re.Match[str]) -> str:
    scheme, rest = match.groups()
    user = _USER.match(rest)
    if user:
        rest = f"{MASK}@{rest[user.end() :]}"
    path, mark, query = rest.partition("?")
    if mark:
        query, _, _ = query.partition("#")
        return f"{scheme}{path}?{_masked_values(query)}"
    path, mark, fragment = rest.partition("#")
    if "=" in fragment:
        return f"{scheme}{path}#{_masked_values(fragment)}"
    return scheme + rest


def _masked_values(query: str) -> str:
    pairs = (pair.partition("=") for pair in query.split("&"))
    return "&".join(f"{name}={MASK}" if equals else MASK for name, equals, _ in pairs)


def _values(value: Any, name: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _values(below, str(key).lower())
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _values(one, name)
    elif isinstance(value, str | int) and not isinstance(value, bool):
        text = str(value)
        if "://" in text:
            yield from _in_url(text)
        if _is_secret(name, value, text):
            yield text
            # "Bearer ...": what follows is the secret by itself.
            yield from (
                word for word in text.split()[1:] if name == "authorization" and len(word) >= _SHORTEST
            )


def _is_secret(name: str, value: str | int, text: str) -> bool:
    if len(text) < _SHORTEST or name in _PUBLIC or text in _WORDS:
        return False
    return bool(_TELLING.search(name)) or not (isinstance(value, int) or _WORD.fullmatch(text))


def _in_url(url: str) -> Iterator[str]:
    match = _URL.match(url)
    if match is None:
        return
    rest = match.group(2)
    user = _USER.match(rest)
    if user:
        name, _, password = user.group().removesuffix("@").partition(":")
        for part in (name, password):
            if len(part) >= _SHORTEST and part != MASK:
                yield from {part, unquote(part)}
    for pair in rest.partition("?")[2].partition("#")[0].split("&"):
        name, _, value = pair.partition("=")
        if len(value) >= (_SHORTEST if _TELLING.search(name) else _SHORTEST_IN_QUERY):
            yield from {value, unquote(value)}


def _add(found: set[str]) -> None:
    global _pattern
    with _lock:
        if found <= _secrets:
            return
        _secrets.update(found)
        forms = {form for secret in _secrets for form in _forms(secret)}
        # The longest first, so that a secret within another leaves no rest of it.
        _pattern = re.compile("|".join(map(re.escape, sorted(forms, key=lambda form: (-len(form), form)))))


def _forms(secret: str) -> set[str]:
    """A secret as it stands in texts, in URLs, in JSON, in Python's own messages and in headers."""
    data = secret.encode("utf-8", "surrogatepass")
    encoded = {base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()}
    return {
        secret,
        quote(data),
        quote(data, safe=""),
        quote_plus(data),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        *encoded,
        *(form.rstrip("=") for form in encoded),
    }
