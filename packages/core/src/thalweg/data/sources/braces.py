"""URLs of many files in one: ``shard-{000..011}.tar``."""

import math
import re

from thalweg.errors import ConfigError
from thalweg.storage import redacted

_RANGE = re.compile(r"\{(\d{1,12})\.\.(\d{1,12})\}")
_MOST = 1_000_000  # files; more is a slip of the pen that would fill the memory


def expanded(url: str) -> list[str]:
    """The URLs that a pattern stands for, in order; of a URL without braces, itself.

    ``{000..011}`` counts from the first number to the last, in the first one's width. Several ranges count
    as nested loops, the last one fastest.

    Raises:
        ConfigError: for braces that are no such range, or a range that runs backwards or too far.
    """
    rest, shown = _RANGE.sub("", url), redacted(url)
    if "{" in rest or "}" in rest:
        raise ConfigError(f"{shown} holds braces that are no range; write ranges as {{000..011}}")
    sizes = [int(last) - int(first) + 1 for first, last in _RANGE.findall(url)]
    if any(size < 1 for size in sizes):
        raise ConfigError(f"{shown} holds a range that runs backwards; put the smaller number first")
    if math.prod(sizes) > _MOST:
        raise ConfigError(
            f"{shown} stands for {math.prod(sizes)} files, more than {_MOST}; narrow its ranges"
        )
    return _counted(url)


def _counted(url: str) -> list[str]:
    match = _RANGE.search(url)
    if match is None:
        return [url]
    first, last = match.groups()
    tails = _counted(url[match.end() :])
    return [
        f"{url[: match.start()]}{number:0{len(first)}}{tail}"
        for number in range(int(first), int(last) + 1)
        for tail in tails
    ]
