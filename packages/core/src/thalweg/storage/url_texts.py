"""URLs as they stand in texts: their user info and query values, masked or distinguished."""

import re
from collections.abc import Collection, Iterator
from functools import partial

MASK = "***"

TELLING = re.compile(r"key|secret|token|sig|pass|cred|auth", re.IGNORECASE)
"""Names that say that a value is secret."""

# One slash is what pathlib leaves of two.
_URL = re.compile(r"(:/{1,2})([^\s\"'<>`]+)")
_BEGIN = re.compile(r":/{1,2}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+\Z")
_LONGEST_SCHEME = 32
# Up to the last @ of the authority; or, where a password with a slash was not quoted, of all the rest.
_USER = re.compile(r"[^/?#]*@|[^/?#@:]*:(?!\d*(?:[/?#]|$)).*@")
_REMOTE = frozenset(["http", "https", "s3", "s3a", "gs", "gcs", "hf", "ftp", "ftps"])
_AFTER = re.compile(r"[.,;:)\]]*")
_LONGEST = 2048  # of a URL with secrets to be made known; masked it is at any length


def masked(text: str, public: Collection[str] = ()) -> str:
    """A text with ``***`` for user info and query values of every URL in it.

    Args:
        text: any.
        public: URLs that anybody may see, which stay as they are.
    """
    return _URL.sub(partial(_masked, public=public), text) if ":/" in text else text


def user_infos(text: str) -> Iterator[str]:
    """User info of every URL in a text, without ``@``, also with blanks and quotes in it."""
    begins = list(_begins(text))
    for place, begin in enumerate(begins):
        strict = _URL.match(text, begin.start(), begin.start() + _LONGEST)
        user = None if strict is None else _USER.match(strict.group(2))
        if user is not None:
            yield user.group()[:-1]
            continue
        # What is no URL by the book: up to the last @ before the next one.
        stop = begins[place + 1].start() if place + 1 < len(begins) else begin.end() + _LONGEST
        info, at, _ = text[begin.end() : stop].rpartition("@")
        name, colon, password = info.partition(":")
        if at and colon and not re.search(r"[\s/?#]", name) and not re.match(r"\d+(/|$)", password):
            yield info


def query_values(text: str) -> Iterator[tuple[str, str]]:
    """Names and values in the queries and fragments of every URL in a text; where blanks or quotes stand
    within values, to the end of the text."""
    for begin in _begins(text):
        match = _URL.match(text, begin.start(), begin.start() + _LONGEST)
        whole = "" if match is None else match.group(2)
        for query in (whole.partition("?")[2].partition("#")[0], whole.partition("#")[2]):
            yield from _pairs(query)
        for name, value in _pairs(text[begin.end() : begin.end() + _LONGEST].partition("?")[2]):
            if re.search(r"[\s\"'<>`]", value):
                yield name, value.rstrip("\"'`]})")


def scheme_of(text: str) -> str:
    """The scheme of what is or was a URL, also where pathlib has left one slash; empty for a path."""
    begin = next(_begins(text), None)
    if begin is None:
        return ""
    scheme = text[: begin.start()]
    whole = begin.group() == "://" or scheme.lower() in _REMOTE
    return scheme if whole and _SCHEME.fullmatch(scheme) else ""


def _begins(text: str) -> Iterator[re.Match[str]]:
    """Where what follows the scheme of a URL begins."""
    return (match for match in _BEGIN.finditer(text) if _scheme(match))


def _scheme(match: re.Match[str]) -> str:
    """What stands before the colon, if it is a scheme; looking back from there keeps long texts cheap."""
    before = match.string[max(0, match.start() - _LONGEST_SCHEME) : match.start()]
    found = _SCHEME.search(before)
    return "" if found is None else found.group()


def _masked(match: re.Match[str], public: Collection[str]) -> str:
    name = _scheme(match)
    if not name or _is_public(f"{name}{match.group()}", public):
        return match.group()
    scheme, rest = match.groups()
    user = _USER.match(rest)
    if user:
        rest = f"{MASK}@{rest[user.end() :]}"
    elif scheme == ":/" and name.lower() not in _REMOTE:
        return match.group()  # "note:/tmp/x?y" is a path
    path, mark, query = rest.partition("?")
    if mark:
        query, _, _ = query.partition("#")
        return f"{scheme}{path}?{_masked_values(query)}"
    path, mark, fragment = rest.partition("#")
    if "=" in fragment:
        return f"{scheme}{path}#{_masked_values(fragment)}"
    return scheme + rest


def _is_public(url: str, public: Collection[str]) -> bool:
    """Whether it is one of them, with nothing behind it but the sentence's own marks."""
    return any(url.startswith(one) and _AFTER.fullmatch(url, len(one)) for one in public)


def _masked_values(query: str) -> str:
    pairs = (pair.partition("=") for pair in query.split("&"))
    return "&".join(f"{name}={MASK}" if equals else MASK for name, equals, _ in pairs)


def _pairs(query: str) -> Iterator[tuple[str, str]]:
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        yield name, value
