"""URLs of many files in one: ``shard-{000..011}.tar``."""

import itertools
import math
import re
from collections.abc import Sequence

from thalweg.errors import ConfigError
from thalweg.storage import Location, redacted
from thalweg.storage.url_texts import scheme_of
from thalweg.storage.urls import WEB

_RANGE = re.compile(r"\{(\d{1,12})\.\.(\d{1,12})\}")
_BRACE = re.compile(r"[{}]")
_MOST = 1_000_000  # files; more is a slip of the pen that would fill the memory


def is_pattern(url: str) -> bool:
    """Whether a URL has braces that are not the name of what is stored there."""
    return _BRACE.search(_open_part(url)) is not None


def expanded(url: str) -> list[str]:
    """The URLs that a pattern stands for, in order; of a URL without braces, itself.

    ``{000..011}`` counts from the first number to the last, in the first one's width. Several ranges count
    as nested loops, the last one fastest. Braces in the names of files and folders that are there on this
    machine are only part of them.

    Raises:
        ConfigError: for braces that are no such range, or a range that runs backwards or too far.
    """
    part = _open_part(url)
    rest, shown = _RANGE.sub("", part), redacted(url)
    if _BRACE.search(rest):
        raise ConfigError(f"{shown} holds braces that are no range; write ranges as {{000..011}}")
    sizes = [int(last) - int(first) + 1 for first, last in _RANGE.findall(part)]
    if any(size < 1 for size in sizes):
        raise ConfigError(f"{shown} holds a range that runs backwards; put the smaller number first")
    if math.prod(sizes) > _MOST:
        raise ConfigError(
            f"{shown} stands for {math.prod(sizes)} files, more than {_MOST}; narrow its ranges"
        )
    numbers = [
        [f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1)]
        for first, last in _RANGE.findall(part)
    ]
    # No braces are left in it but those of the ranges.
    each, head = _RANGE.sub("{}", part), url[: len(url) - len(part)]
    return [head + each.format(*some) for some in itertools.product(*numbers)]


def names_of(url: str, urls: Sequence[str]) -> list[str]:
    """Names of what a pattern with ranges stands for: from the folder on that its first range stands in."""
    part = _open_part(url)
    first = _RANGE.search(part)
    begin = len(url) - len(part) + (0 if first is None else first.start())
    tails = (one[url.rfind("/", 0, begin) + 1 :] for one in urls)
    return [tail.partition("?")[0] if scheme_of(url) in WEB else tail for tail in tails]


def _open_part(url: str) -> str:
    """The end of a URL that may be a pattern: what is below the folders that are there on this machine."""
    if _BRACE.search(url) is None:
        return ""
    if scheme_of(url) not in ("", "file"):
        return url
    if Location(url).exists():
        return ""
    head = url
    while _BRACE.search(head := head.rpartition("/")[0]) is not None:
        if Location(head).is_dir():
            break
    return url[len(head) :]
