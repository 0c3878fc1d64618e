"""Storage options as they stand in texts: overrides, command lines, TOML, JSON and reprs, also broken ones.

``storage_options.key=...``, ``storage_options = {...}``, ``"storage_options": {...}`` and
``[data.storage_options]`` are found. Prose that mentions them is left.
"""

import re
from collections.abc import Iterator

import attrs

_NAMED = re.compile(r"storage[_-]options?", re.IGNORECASE)
_BELOW = re.compile(r"(?:\s*\.\s*(?:[\w-]+|\"[^\"\n]*\"|'[^'\n]*'))*")
_HEADER = re.compile(r"[ \t]*\[\[?[^\[\]\n=]*")
_ASSIGNED = re.compile(r"\s*=\s*")
_LISTED = re.compile(r"\s*:\s*(?=[\"'{\[\d]|true|false|null|None|True|False)")
_TABLE = re.compile(r"\s*:\s*(?=\{)")
_BARE = re.compile(r"\*\*\*(?=[,;\s})\]'\"]|$)|\S*")  # what was masked before stays as it is
QUOTES = ('"""', "'''", '\\"', "\\'", '"', "'")
_ESCAPED = "'\"'\"'"  # how shells write a quote within quotes
_CLOSING = {"{": "}", "[": "]", "(": ")"}


@attrs.frozen
class Found:
    """A value of storage options in a text.

    Attributes:
        start: where it begins.
        stop: where it ends.
        name: of the option; empty for a table of several.
        quoted: whether what stands in its place should be quoted, as JSON wants it.
    """

    start: int
    stop: int
    name: str
    quoted: bool = False


def mentions(text: str) -> bool:
    """Whether a text mentions them at all, which costs little to know."""
    return "torage" in text.casefold() and _NAMED.search(text) is not None


def found_in(text: str) -> Iterator[Found]:
    """All values, from left to right, none within another."""
    reached = 0
    for match in _NAMED.finditer(text) if mentions(text) else ():
        if match.start() < reached:
            continue
        for found in _values(text, match):
            yield found
            reached = found.stop


def _values(text: str, match: re.Match[str]) -> Iterator[Found]:
    begin = match.start()
    # Whether a line's beginning up to here is that of a header of TOML.
    headed = _HEADER.fullmatch(text[text.rfind("\n", 0, begin) + 1 : begin]) is not None
    while begin > 0 and (text[begin - 1].isalnum() or text[begin - 1] in "_.-"):
        begin -= 1
    quote = text[begin - 1 : begin] if text[begin - 1 : begin] in ("'", '"') else ""
    at = match.end()
    closed = text[at : at + 1] if text[at : at + 1] in ("'", '"') else ""
    below = _after(_BELOW, text, at + len(closed))
    if headed and text[below : below + 1] == "]":
        yield from _section(text, below)
        return
    name = text[at:below].rpartition(".")[2].strip().strip("\"'")
    assigned = _ASSIGNED.match(text, below)
    if assigned is not None:
        yield Found(assigned.end(), _end(text, assigned.end(), "" if closed else quote), name)
        return
    listed = (_LISTED if closed else _TABLE).match(text, below)
    if listed is not None:
        yield Found(listed.end(), _end(text, listed.end(), ""), name, quoted=closed == '"')


def _section(text: str, at: int) -> Iterator[Found]:
    """What follows a header of TOML until the next one, line by line."""
    at = text.find("\n", at) + 1
    while 0 < at < len(text):
        end = _line_end(text, at)
        line = text[at:end]
        if line.lstrip().startswith("[") and "=" not in line:
            return
        name, equals, value = line.partition("=")
        if equals:
            start = at + len(name) + 1 + len(value) - len(value.lstrip())
            end = max(end, _end(text, start, "")) if value.strip()[:1] in ("{", "[", '"', "'") else end
            yield Found(start, end, name.strip().strip("\"'").rpartition(".")[2], quoted=True)
        elif line.strip():
            yield Found(at, end, "")
        at = end + 1


def _end(text: str, at: int, quote: str) -> int:
    """Where a value ends that begins here; within quotes that were opened before it, where these close."""
    if quote:
        end = _closed(text, at, quote)
        return len(text) if end < 0 else end
    if text[at : at + 1] in _CLOSING:
        return _balanced(text, at)
    for mark in QUOTES:
        if text.startswith(mark, at):
            end = _closed(text, at + len(mark), mark)
            return _line_end(text, at) if end < 0 else end + len(mark)
    return _after(_BARE, text, at)


def _after(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return at if match is None else match.end()


def _closed(text: str, at: int, mark: str) -> int:
    """Where a quote closes, those that are escaped skipped; -1 if it does not."""
    shell, close = f"{_ESCAPED}|" if mark == "'" else "", re.escape(mark)
    match = re.compile(rf"(?:{shell}(?!{close})(?:\\.|[^\\]))*+{close}", re.DOTALL).match(text, at)
    return -1 if match is None else match.end() - len(mark)


def _balanced(text: str, at: int) -> int:
    """After the bracket that closes the one here; the end of the text if none does."""
    depth: list[str] = []
    while at < len(text):
        letter = text[at]
        if letter in _CLOSING:
            depth.append(_CLOSING[letter])
        elif depth and letter == depth[-1]:
            depth.pop()
            if not depth:
                return at + 1
        elif letter in "\"'":
            end = _closed(text, at + 1, letter)
            if end < 0:
                return len(text)
            at = end
        at += 2 if letter == "\\" else 1
    return len(text)


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end
