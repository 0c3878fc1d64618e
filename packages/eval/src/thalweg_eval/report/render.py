"""A report as one HTML file: no script, no network, nothing beside it."""

import base64
import os
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from thalweg.files import unwritable, write_bytes
from thalweg.folders import clear_leftovers
from thalweg.storage.places import local_path
from thalweg.storage.redaction import redacted
from thalweg_eval.report.charts import svg
from thalweg_eval.report.heat_map import heat_map
from thalweg_eval.report.model import Chart, HeatMap, Page, Part, Picture, Table
from thalweg_eval.report.numbers import cells

STYLE = files("thalweg_eval.report").joinpath("report.css").read_text(encoding="utf-8")
_TEMPLATE = files("thalweg_eval.report").joinpath("report.html.jinja").read_text(encoding="utf-8")

# What a picture can be wide in half of the page, and in all of it, in CSS pixels.
_HALF, _FULL = 464, 960


def render(page: Page) -> str:
    """The page as HTML; the same page gives the same text."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_masked
    )
    environment.filters |= {
        "rows": _rows,
        "cells": cells,
        "svg": lambda part: svg(part) if isinstance(part, Chart) else heat_map(part),
        "data_uri": _data_uri,
        "drawn": _drawn,
    }
    environment.tests |= {
        "chart": lambda part: isinstance(part, Chart | HeatMap),
        "picture": lambda part: isinstance(part, Picture),
        "table": lambda part: isinstance(part, Table),
    }
    return environment.from_string(_TEMPLATE).render(report=page, style=STYLE)


def write(page: Page, path: str | os.PathLike[str]) -> Path:
    """Write the page so that the path holds all of it or what was there before.

    Args:
        page: what to write.
        path: the HTML file, in a folder that exists; a file that is already there is replaced.

    Returns:
        The path.

    Raises:
        ThalwegError: it cannot be written there.
    """
    path = local_path(path, "the report")
    try:
        clear_leftovers(path)
    except OSError as error:
        raise unwritable(path, error) from error
    # A lone surrogate, as in undecodable file names, has no UTF-8; it becomes a question mark.
    write_bytes(path, render(page).encode("utf-8", errors="replace"))
    return path


def _masked(value: Any) -> Any:
    """Every text without secrets, before it is escaped; charts and pictures have done so."""
    return redacted(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _rows(parts: tuple[Part, ...]) -> list[tuple[bool, list[Part]]]:
    """The parts in rows: neighbouring small figures share one (True), any other part has its own."""
    rows: list[tuple[bool, list[Part]]] = []
    for beside, run in groupby(parts, key=_stands_beside):
        neighbours = list(run)
        rows += [(True, neighbours)] if beside else [(False, [part]) for part in neighbours]
    return rows


def _stands_beside(part: Part) -> bool:
    return isinstance(part, Chart | HeatMap) or (isinstance(part, Picture) and part.size[0] <= _HALF)


def _drawn(picture: Picture) -> tuple[int, int, bool]:
    """Width and height in CSS pixels, a whole multiple of the picture's own if it fits, and whether it is
    enlarged: only then its pixels should stay visible."""
    width, height = picture.size
    scale = max(1, (_HALF if width <= _HALF else _FULL) // max(1, width))
    return width * scale, height * scale, scale > 1


def _data_uri(picture: Picture) -> Markup:
    return Markup("data:image/png;base64," + base64.b64encode(picture.png).decode("ascii"))  # noqa: S704 - base64
