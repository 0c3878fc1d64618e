"""Texts as a terminal may show them: what would move the cursor, change colours, hide or turn words around is
written out instead, such as ``\\x1b`` for an escape.

Names and messages may come from third parties: of runs, classes, files, plugins, metrics, captions.
"""

import re
from collections.abc import Sequence

_NEVER = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
)
_ANYWHERE = re.compile(f"[{_NEVER}]")
_IN_LINES = re.compile(f"[{_NEVER}\t\n]")
# What has several lines of its own has them indented, so that a name cannot pass for another message.
_IN_MESSAGES = re.compile(f"[{_NEVER}\t]|\n(?!  )")


def visible(text: str) -> str:
    """A text of several lines: line ends and tabs stay."""
    return _ANYWHERE.sub(_written, text)


def visible_line(text: str) -> str:
    """A name, or whatever belongs into one line."""
    return _IN_LINES.sub(_written, text)


def visible_message(text: str) -> str:
    """A message: of line ends, those before an indented line stay."""
    return _IN_MESSAGES.sub(_written, text)


def visible_json(text: str) -> str:
    """JSON, with escapes that JSON reads back."""
    return _ANYWHERE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def columns(rows: Sequence[Sequence[str]], header: Sequence[str]) -> str:
    """Rows as aligned text, a line each."""
    table = [[visible_line(cell) for cell in row] for row in [header, *rows]]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table)
    return "\n".join(line.rstrip() for line in lines)


def _written(found: re.Match[str]) -> str:
    return repr(found[0])[1:-1] if ord(found[0]) < 0xFF else f"\\u{ord(found[0]):04x}"
