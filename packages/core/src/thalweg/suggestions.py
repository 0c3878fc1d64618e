"""Words of error messages: the nearest known word, the known ones, an exception in one line."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``, did you mean 'width'?`` where a known word is near, else the empty string."""
    choices = {one.lower(): one for one in known}
    near = difflib.get_close_matches(word.lower(), choices, n=1, cutoff=0.6)
    # A cut-off word, such as bf16 for bf16-mixed, is near whatever its length.
    near = near or [one for one in choices if len(word) > 2 and one.startswith(word.lower())]
    return f", did you mean '{choices[near[0]]}'?" if near else ""


def known_words(known: Iterable[str]) -> str:
    """`` (known: a, b)``, or that there is none."""
    words = sorted(known)
    return f" (known: {', '.join(words)})" if words else " (none is known)"


def one_line(error: BaseException) -> str:
    """An exception as one line: its type and the first line of what it says."""
    # The error may be third-party, and raise while it is formatted.
    try:
        lines = [line for line in str(error).strip().split("\n") if line]
    except Exception:
        lines = []
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def article(noun: str) -> str:
    """The noun with its indefinite article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
