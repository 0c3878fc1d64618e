"""Plain values in Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def rows_of(found: Mapping[str, str]) -> list[tuple[str, str]]:
    """Rows of a table of names and values."""
    return list(found.items())


def words(value: Any) -> str:
    """A value as one reads it: ``euler (steps 50)`` of a component, lists and tables by their entries."""
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        if "type" in value:
            options = ", ".join(f"{key} {words(one)}" for key, one in value.items() if key != "type")
            return f"{value['type']} ({options})" if options else str(value["type"])
        return ", ".join(f"{key} {words(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(words, value)) + "]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _cell(text: str) -> str:
    # What is from files of others must not end the cell, or begin a link or markup of its own.
    flat = " ".join(str(text).split())
    return flat.replace("|", "\\|").replace("<", "&lt;")
