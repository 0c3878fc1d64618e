"""What the command line prints: results on stdout, everything else on stderr.

Colour is for terminals only, and not where ``NO_COLOR`` is set. Credentials are masked in all of it.
"""

import json
import os
from collections.abc import Sequence
from typing import Any

import click

from thalweg.storage.redaction import redacted


def result(text: str) -> None:
    """A result: stdout."""
    click.echo(redacted(text), color=_color())


def result_json(data: Any) -> None:
    """A result for programs: stdout."""
    click.echo(redacted(json.dumps(data, indent=2, ensure_ascii=False)))


def say(text: str) -> None:
    """Progress, or what is being done: stderr."""
    click.echo(redacted(text), err=True, color=_color())


def warn(text: str) -> None:
    """Something that the user should know, and that stops nothing: stderr."""
    click.echo(click.style("warning: ", fg="yellow") + redacted(text), err=True, color=_color())


def fail(text: str) -> None:
    """Why the command failed: stderr."""
    click.echo(click.style("error: ", fg="red", bold=True) + redacted(text), err=True, color=_color())


def columns(rows: Sequence[Sequence[str]], header: Sequence[str]) -> str:
    """Rows as aligned text."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in [header, *rows]
    )
    return "\n".join(line.rstrip() for line in lines)


def _color() -> bool | None:
    # None leaves it to click, which asks whether the stream is a terminal.
    return False if os.environ.get("NO_COLOR") else None
