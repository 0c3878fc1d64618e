"""What a report is made of: frozen values without any opinion about how they look."""

from array import array
from collections.abc import Iterable, Sequence
from typing import Literal, SupportsFloat

import attrs

Cell = str | int | float | None
"""A table's entry: numbers are formatted, None is a missing value. Write a number that is a name, such
as a seed or a version, as a str: it then gets no thousands separator."""

Best = Literal["min", "max"] | None
"""Which of a column's numbers is the best one, to be highlighted; None for no competition."""

Floats = Sequence[float]
"""Numbers; an ``array`` where there may be a million of them."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def _floats(values: Iterable[SupportsFloat]) -> Floats:
    # As a tuple, they would take four times the memory.
    if isinstance(values, array):
        return values
    return tuple(float(value) for value in values)


def _check_values(curve: "Curve", _: object, values: Floats) -> None:
    if len(values) != len(curve.steps):
        raise ValueError(f"curve {curve.name!r} has {len(curve.steps)} steps but {len(values)} values")


def _check_png(picture: "Picture", _: object, png: bytes) -> None:
    if len(png) < 24 or not png.startswith(_PNG_SIGNATURE):
        raise ValueError(f"picture {picture.title!r} is no PNG file")


def _check_rows(table: "Table", _: object, rows: tuple[tuple[Cell, ...], ...]) -> None:
    for number, row in enumerate(rows):
        if len(row) != len(table.header):
            raise ValueError(
                f"row {number} of table {table.title!r} has {len(row)} cells for {len(table.header)} columns"
            )


def _check_best(table: "Table", _: object, best: tuple[Best, ...]) -> None:
    if best and len(best) != len(table.header):
        raise ValueError(
            f"table {table.title!r} has {len(best)} entries of best for {len(table.header)} columns"
        )


def _check_reference(table: "Table", _: object, reference: tuple[int, ...]) -> None:
    if any(not 0 <= row < len(table.rows) for row in reference):
        raise ValueError(f"table {table.title!r} has no row for one of the reference rows {reference}")


@attrs.frozen
class Curve:
    """One line of a chart.

    Attributes:
        name: what the legend calls it.
        steps: horizontal positions.
        values: vertical positions, as many as steps. What is not finite leaves a gap.
    """

    name: str
    steps: Floats = attrs.field(converter=_floats)
    values: Floats = attrs.field(converter=_floats, validator=_check_values)


@attrs.frozen
class Chart:
    """A line chart.

    Attributes:
        title: its heading.
        x_label: what the horizontal axis measures.
        y_label: what the vertical axis measures.
        curves: any number of lines; a colour and line pattern each, in this order.
        caption: one or two sentences below it.
        log_y: whether the vertical axis is logarithmic; values that are not positive then leave gaps.
        smooth: points of a running mean; from 2 on, the mean is drawn over the pale curve itself.
    """

    title: str
    x_label: str
    y_label: str
    curves: tuple[Curve, ...]
    caption: str
    log_y: bool = False
    smooth: int = attrs.field(default=1, validator=attrs.validators.ge(1))


@attrs.frozen
class Picture:
    """A small picture, such as a grid of samples, drawn enlarged with its pixels visible.

    Attributes:
        title: its heading.
        png: the file's bytes.
        caption: one or two sentences below it.
        alt: what it shows, for those who cannot see it; the title if empty.
    """

    title: str
    png: bytes = attrs.field(validator=_check_png, repr=False)
    caption: str
    alt: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, as the PNG header states them."""
        return int.from_bytes(self.png[16:20], "big"), int.from_bytes(self.png[20:24], "big")


@attrs.frozen
class Table:
    """A table of scores.

    Attributes:
        title: its heading; empty where that of its section says it.
        header: names of the columns.
        rows: one cell a column each; the first column names the row.
        caption: one or two sentences below it.
        best: per column, which number to highlight; empty for none.
        reference: rows that take no part in that, such as the scores of real data.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...] = attrs.field(validator=_check_rows)
    caption: str
    best: tuple[Best, ...] = attrs.field(default=(), validator=_check_best)
    reference: tuple[int, ...] = attrs.field(default=(), validator=_check_reference)


@attrs.frozen
class Text:
    """Running text; an empty title gives no heading."""

    title: str
    paragraphs: tuple[str, ...]


Part = Chart | Picture | Table | Text


@attrs.frozen
class Section:
    """Parts under one heading; neighbouring charts and pictures stand side by side."""

    title: str
    parts: tuple[Part, ...]


@attrs.frozen
class Report:
    """A whole report.

    Attributes:
        title: its heading and the name of the browser's tab.
        subtitle: one sentence below it.
        sections: the body.
        facts: labels and values for the end of the page, such as date, machine, versions and seeds.
    """

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    facts: tuple[tuple[str, str], ...] = ()
