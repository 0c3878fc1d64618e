"""URLs of files and folders, taken apart."""

import base64
import os
import posixpath
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import attrs

from thalweg.errors import ConfigError, DataError
from thalweg.storage.gate import ALIASES, check_protocol, is_host
from thalweg.storage.hub.address import hub_address
from thalweg.storage.named import named_path
from thalweg.storage.redaction import redacted, register_url
from thalweg.storage.url_texts import MASK

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+._-]*)://(.*)", re.DOTALL)
_CHAINED = re.compile(r"::[A-Za-z][A-Za-z0-9+.-]*://")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_USER_INFO = re.compile(r"([^/?#]*)@(.*)", re.DOTALL)

WEB = ("http", "https")


@attrs.frozen
class Address:
    """Where a file or folder is stored.

    Attributes:
        scheme: ``file`` for plain paths too.
        path: what follows ``://``, without user info, query and slashes at its end.
        query: of ``http(s)`` URLs; elsewhere a ``?`` belongs to the path.
        options: storage options that the URL's user info stands for.
    """

    scheme: str
    path: str
    query: str = attrs.field(default="", repr=False)
    options: dict[str, Any] = attrs.field(factory=dict, repr=False)

    @property
    def url(self) -> str:
        """As a file system takes it: without user info."""
        if self.scheme == "file":
            return self.path
        return f"{self.scheme}://{self.path}" + (f"?{self.query}" if self.query else "")

    @property
    def authority(self) -> str:
        """The host, with its port if one is stated, or the bucket; of files nothing."""
        return "" if self.scheme == "file" else self.path.partition("/")[0]

    @property
    def name(self) -> str:
        """The last part of the path."""
        return posixpath.basename(self.path)

    def below(self, name: str) -> "Address":
        """A place within this folder.

        Raises:
            DataError: the name leads out of it.
        """
        parts = name.split("/")
        if not name or ".." in parts or "" in parts or "\0" in name:
            raise DataError(f"'{redacted(name)}' names nothing within the folder {redacted(self.url)}")
        inside = "/".join(part for part in parts if part != ".")
        return attrs.evolve(self, path=f"{self.path.rstrip('/')}/{inside}" if self.path else inside)


def address_of(url: "str | os.PathLike[str]") -> Address:
    """Take a URL, plain path or name of published weights apart.

    Raises:
        ConfigError: it cannot be meant.
        DataError: it names weights that are not here.
    """
    text = os.fspath(url)
    weights = named_path(text)
    if weights is not None:
        return Address("file", str(weights))
    register_url(text)
    if not text or "\0" in text:
        raise ConfigError("a path or URL is empty" if not text else "a path has a zero byte in it")
    if "://" in text and ("::" in text.partition("://")[0] or _CHAINED.search(text)):
        raise ConfigError(f"{redacted(text)}: chained URLs are not taken; give that of the file itself")
    match = _SCHEME.fullmatch(text)
    if match is None:
        return Address("file", str(Path(os.path.expanduser(text))))  # noqa: PTH111 - which leaves no user's
    scheme, rest = match.groups()
    if _CONTROL.search(text):
        raise ConfigError(f"{redacted(_CONTROL.sub('?', text))} has a control character in it; take it out")
    scheme = ALIASES.get(scheme.lower(), scheme.lower())
    check_protocol(scheme)
    if scheme == "file":
        return _file(text, rest)
    user = _USER_INFO.fullmatch(rest) if scheme in ("s3", *WEB) else None
    options: dict[str, Any] = {}
    if user:
        options, rest = _credentials(text, scheme, user.group(1)), user.group(2)
    query = ""
    if scheme in WEB:
        rest, _, query = rest.partition("#")[0].partition("?")
        if MASK in query:
            raise _hidden(text)
    if not rest.partition("/")[0] and scheme != "memory":
        raise ConfigError(f"{redacted(text)} names no {'host' if scheme in WEB else 'bucket'}")
    if scheme == "hf":
        hub_address(f"hf://{rest.rstrip('/')}")
    # Whatever else reads the URL must see the same host, as secrets are bound to it.
    host = rest.partition("/")[0]
    if scheme in WEB and not (is_host(host) and "\\" not in match.group(2).partition("/")[0]):
        raise ConfigError(
            f"{redacted(text)} names no host that is taken; write it in ASCII, with a port if need be"
        )
    if scheme == "s3" and ":" in rest.partition("/")[0] and "arn:" not in rest:
        raise ConfigError(
            f"{redacted(text)}: no bucket has a colon in its name; in credentials, write a slash as %2F"
        )
    return Address(scheme, rest.rstrip("/"), query, options)


def _file(text: str, rest: str) -> Address:
    rest = rest.removeprefix("localhost")
    if not rest.startswith("/"):
        raise ConfigError(f"{redacted(text)} needs three slashes before an absolute path, as file:///data")
    return Address("file", str(Path(unquote(rest))))


def _credentials(text: str, scheme: str, user_info: str) -> dict[str, Any]:
    if MASK in user_info:
        raise _hidden(text)
    name, _, password = user_info.partition(":")
    name, password = unquote(name), unquote(password)
    if scheme == "s3":
        return {"key": name, "secret": password}
    token = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"headers": {"Authorization": f"Basic {token}"}}


def _hidden(text: str) -> ConfigError:
    return ConfigError(f"{redacted(text)} was written down without its credentials; give it anew with them")
