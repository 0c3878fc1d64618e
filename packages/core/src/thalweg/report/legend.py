"""The layout of a legend: names in rows, as many beside each other as fit."""

import unicodedata
from collections.abc import Sequence

CHARACTER = 6.9
"""Width of an average character at the charts' font size; there is no font to measure when writing."""

SAMPLE = 26.0
"""Width of the piece of line before each name."""

_SPACE = 20.0


def text_width(text: str) -> float:
    """An estimate of a text's width, wide East Asian characters counted twice."""
    return CHARACTER * sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def shorten(text: str, width: float) -> str:
    """The text, cut with an ellipsis where it is wider than that."""
    if text_width(text) <= width:
        return text
    while text and text_width(text) + CHARACTER > width:
        text = text[:-1]
    return text.rstrip() + "…"


def arrange(names: Sequence[str], width: float) -> list[tuple[float, int]]:
    """Where each name's entry begins: horizontal offset and number of its row.

    Args:
        names: shortened names, in order.
        width: of a row.
    """
    places: list[tuple[float, int]] = []
    offset, row = 0.0, 0
    for name in names:
        needed = SAMPLE + text_width(name)
        if offset and offset + needed > width:
            offset, row = 0.0, row + 1
        places.append((offset, row))
        offset += needed + _SPACE
    return places
