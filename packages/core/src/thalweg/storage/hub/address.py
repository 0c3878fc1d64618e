"""URLs of the Hugging Face Hub, taken apart: ``hf://[KIND/]OWNER/NAME[@REVISION][/PATH]``."""

import re
from urllib.parse import quote, unquote

import attrs

from thalweg.errors import ConfigError
from thalweg.storage.redaction import excerpt

SCHEME = "hf://"
MAIN = "main"
"""The branch that is meant where none is stated."""

_KINDS = {"models": "model", "datasets": "dataset", "spaces": "space", "buckets": "bucket"}
_WORD = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_WORD}/{_WORD}")
_ADDRESS = re.compile(
    rf"hf://(?:(?P<kind>{'|'.join(_KINDS)})/)?(?P<name>[^/@]+/[^/@]+)"
    r"(?:@(?P<revision>refs/(?:pr/\d+|convert/[\w.-]+)(?=/|$)|[^/]+))?(?:/(?P<path>.*))?"
)
_KEPT = re.compile(r"refs/(?:pr/\d+|convert/[\w.-]+)")
_LONGEST = 96  # letters of a name, owner included


@attrs.frozen
class HubAddress:
    """A repository, or what is in it.

    Attributes:
        kind: ``model``, ``dataset``, ``space`` or ``bucket``.
        name: ``owner/name``.
        revision: a branch, tag or commit; None if none is stated.
        path: within the repository; empty for all of it.
    """

    kind: str
    name: str
    revision: str | None
    path: str

    @property
    def repository(self) -> str:
        """The URL of the repository, with its revision."""
        kind = "" if self.kind == "model" else f"{self.kind}s/"
        return f"{SCHEME}{kind}{self.name}{_at(self.revision)}"

    def at(self, revision: str) -> "HubAddress":
        """The same in another revision."""
        return attrs.evolve(self, revision=revision)

    def __str__(self) -> str:
        return f"{self.repository}/{self.path}" if self.path else self.repository


def hub_address(url: str) -> HubAddress:
    """Take a URL apart.

    Raises:
        ConfigError: it names no repository.
    """
    found = _ADDRESS.fullmatch(url)
    if found is None or not is_name(found["name"]) or found["revision"] == "":
        raise ConfigError(
            f"{excerpt(url, 200)} names no repository of the Hub; write hf://owner/name, and "
            "@revision behind the name for a branch, tag or commit"
        )
    revision = None if found["revision"] is None else unquote(found["revision"])
    return HubAddress(_KINDS.get(found["kind"], "model"), found["name"], revision, found["path"] or "")


def is_name(text: str) -> bool:
    """Whether a text is ``owner/name`` as the Hub takes it."""
    return bool(_NAME.fullmatch(text)) and len(text) <= _LONGEST and not re.search(r"--|\.\.", text)


def hub_url(name: str, revision: str | None = None) -> str:
    """The URL of a repository of a network.

    Args:
        name: ``owner/name``.
        revision: a branch, tag or commit.

    Raises:
        ConfigError: the name is none.
    """
    if not is_name(name):
        raise ConfigError(
            f"{excerpt(name, 200)!r} is no name of a repository of the Hub; write owner/name, as in "
            "FlowNetwork.from_pretrained('owner/name'), or open a folder by thalweg.load"
        )
    return f"{SCHEME}{name}{_at(revision)}"


def _at(revision: str | None) -> str:
    if revision is None:
        return ""
    return f"@{revision if _KEPT.fullmatch(revision) else quote(revision, safe='')}"
