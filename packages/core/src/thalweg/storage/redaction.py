"""What must not be printed: user info and query values of URLs, storage options, and all known secrets.

Texts are masked by value, once a secret is known, and by field, whatever its length and form.
"""

import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from thalweg.storage import option_texts, url_texts
from thalweg.storage.secret_forms import forms_of
from thalweg.storage.url_texts import MASK, TELLING

OPTIONS = "storage_options"
"""What a table of storage options is called wherever one stands."""

_SHORTEST = 6
"""Shorter values are not registered: replacing them would tear words apart that mean something else."""

_LONG = 16
"""Values of a query that are secret whatever their names."""

_PUBLIC = frozenset(
    [
        *("endpoint_url", "region_name", "profile", "project", "location", "access", "consistency"),
        *("addressing_style", "signature_version", "request_checksum_calculation"),
        *("response_checksum_validation", "accept", "accept-encoding", "accept-language"),
        *("content-type", "user-agent"),
    ]
)
"""Options whose values may be printed. All others are secrets, as nobody knows every backend's names."""

_WORDS = frozenset(["google_default", "browser"])
"""Values that choose a way of signing in rather than being a credential."""

_WORD = re.compile(r"[a-z]+([-_:/.][a-z]+)*")
"""What is no secret unless its name says so: ``acl = "private"`` must not mask that word everywhere."""

_SCHEMES = re.compile(r"(bearer|basic|token|apikey)\s", re.IGNORECASE)
"""How values of authorization headers begin."""

_OUR_OWN = frozenset(["thalweg"])
"""Never masked by value: it stands in everything that is written, and files say by it what they are."""

CREDENTIAL = re.compile(
    r"(.*[_.-])?(secret|password|passwd|passphrase|credentials?|authorization"
    r"|(api|access|secret|private|account)[_-]?key|(access|auth|session|api|refresh|bearer)[_-]?token)",
    re.IGNORECASE,
)
"""Names of fields and options whose value is secret wherever they stand."""


class Known:
    """The secrets that this process knows.

    Attributes:
        secrets: by themselves.
        public: URLs with a query that is no secret.
    """

    def __init__(self) -> None:
        self.secrets: frozenset[str] = frozenset()
        self.public: frozenset[str] = frozenset()
        self._replaced: dict[str, str] = {}
        self._lock = threading.Lock()

    def add(self, secrets: set[str], replaced: Mapping[str, str] | None = None) -> None:
        """Make more known.

        Args:
            secrets: to be masked wherever they stand.
            replaced: longer texts that hold one, and what to write instead.
        """
        secrets = {secret for secret in secrets if secret.casefold() not in _OUR_OWN} - self.secrets
        replaced = {text: shown for text, shown in (replaced or {}).items() if text not in self._replaced}
        if not secrets and not replaced:
            return
        with self._lock:
            more = dict(self._replaced)
            for text, shown in (replaced | dict.fromkeys(secrets, MASK)).items():
                more |= dict.fromkeys(forms_of(text), shown)
            # The longest first, so that a secret within another leaves no rest of it.
            self._replaced = dict(sorted(more.items(), key=lambda pair: (-len(pair[0]), pair[0])))
            self.secrets = self.secrets | secrets

    def masked(self, text: str) -> str:
        """A text without any of them."""
        # Long texts, such as reports, hold few of the forms: finding them first is what makes it fast.
        there = [form for form in self._replaced if form in text]
        if not there:
            return text
        replaced = self._replaced
        return re.sub("|".join(map(re.escape, there)), lambda match: replaced[match.group()], text)


_known = Known()


def redacted(text: str) -> str:
    """A text with ``***`` for user info and query values of every URL in it, for values of storage options,
    and for all known secrets."""
    # Secrets first: a URL may end within a secret that has a blank.
    text = _known.masked(text)
    parts, reached = [], 0
    for found in option_texts.found_in(text):
        parts += [text[reached : found.start], f'"{MASK}"' if found.quoted else MASK]
        reached = found.stop
    return url_texts.masked("".join([*parts, text[reached:]]), _known.public)


def excerpt(text: str, most: int) -> str:
    """The beginning of a text, masked before it is cut: half a secret is found by nothing."""
    shown = redacted(text)
    return shown if len(shown) <= most else f"{shown[:most]}…"


def redacted_plain(value: Any) -> Any:
    """Plain values with all texts as :func:`redacted` gives them, and credentials masked by their names.

    Args:
        value: mappings, lists, tuples and what JSON or TOML can hold; tuples become lists.
    """
    if isinstance(value, Mapping):
        return {redacted(str(key)): _of_field(str(key), one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [redacted_plain(one) for one in value]
    return redacted(value) if isinstance(value, str) else value


def _of_field(key: str, value: Any) -> Any:
    if option_texts.mentions(key):
        return _masked_options(value) if isinstance(value, Mapping) and key == OPTIONS else MASK
    return MASK if isinstance(value, str) and value and CREDENTIAL.fullmatch(key) else redacted_plain(value)


def _masked_options(options: Any) -> Any:
    if isinstance(options, Mapping):
        return {
            redacted(str(name)): redacted_plain(one) if str(name).lower() in _PUBLIC else _masked_options(one)
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
    _known.add(set(_values(options, "")))


def register_public(url: str) -> None:
    """Make a URL known that anybody may see, query and all, such as one that a package publishes."""
    if "?" in url:
        _known.public |= {url}


def register_url(text: str) -> None:
    """Make known, as secrets, the user info of every URL in a text and what in its query looks like one."""
    if ":/" not in text or text in _known.public:
        return
    written: list[str] = []
    whole: dict[str, str] = {}
    for info in url_texts.user_infos(text):
        if MASK in info:
            continue
        # As a whole it is masked whatever its length.
        whole |= {f":/{slash}{info}@": f":/{slash}{MASK}@" for slash in ("/", "")}
        name, _, password = info.partition(":")
        # "someone" is no secret, and an access key is no word
        written += [password] if _WORD.fullmatch(name) else [name, password]
    for name, value in url_texts.query_values(text):
        if len(value) >= _SHORTEST and (TELLING.search(name) or len(value) >= _LONG):
            written.append(value)
    secrets = {form for one in written for form in (one, unquote(one)) if len(form) >= _SHORTEST}
    _known.add(secrets, whole)


def register_text(text: str) -> None:
    """The same for all that a text holds: URLs and storage options, in whatever form they are written."""
    register_url(text)
    values = [(text[found.start : found.stop], found.name) for found in option_texts.found_in(text)]
    _known.add({secret for value, name in values for secret in _in_value(value, name)})


def register_field(name: str, value: str, written: str = "") -> None:
    """The same for one value by the name of its field, and for the text that it was written as.

    Args:
        name: of the option.
        value: of it.
        written: ``name=value`` as it stands in an argument; it is masked whatever the value's length.
    """
    whole = {written: written[: len(written) - len(value)] + MASK} if written and value else {}
    _known.add(set(_in_value(value, name.lower())), whole)


_PAIR = re.compile(
    r"""["']?([\w.-]+)["']?\s*[:=]\s*("(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|[^\s,{}\[\]"']+)"""
)
_STRING = re.compile(r"""("(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?)""")


def _in_value(text: str, name: str) -> Iterator[str]:
    """The secrets in a value as it is written, be it a table, a list, a string or a bare word."""
    if text[:1] in ("{", "["):
        for match in _PAIR.finditer(text):
            yield from _in_value(match[2], match[1].lower())
        for match in _STRING.finditer(text):
            yield from _in_value(match[1], name)
        return
    mark = next((one for one in option_texts.QUOTES if text.startswith(one)), "")
    bare = text[len(mark) :].removesuffix(mark)
    unescaped = re.sub(r"\\(.)", r"\1", bare)
    for form in {bare, unescaped}:
        yield from _values(form, name)


def _values(value: Any, name: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _values(below, str(key).lower())
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _values(one, name)
    elif isinstance(value, str | int) and not isinstance(value, bool):
        text = str(value)
        register_url(text)
        if is_secret(name, text, number=isinstance(value, int)):
            yield text
            # "Bearer ...": what follows is the secret by itself.
            if name == "authorization" or _SCHEMES.match(text):
                yield from (word for word in text.split()[1:] if len(word) >= _SHORTEST)


def is_secret(name: str, text: str, *, number: bool = False) -> bool:
    """Whether a storage option's value is to be masked wherever it stands."""
    if len(text) < _SHORTEST or name in _PUBLIC or text in _WORDS:
        return False
    return bool(TELLING.search(name)) or not (number or text.isdecimal() or _WORD.fullmatch(text))
