"""Data in words."""

from collections.abc import Sequence

UNCONDITIONAL = "none: the images bear no labels, and a network trains on them unconditionally"

_SHOWN = 5  # names of classes


def classes_in_words(classes: int, names: Sequence[str]) -> str:
    """How many classes there are, and what the first are called."""
    if not names:
        return f"{classes:,}"
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"{classes:,}: {', '.join(names[:_SHOWN])}{more}"
