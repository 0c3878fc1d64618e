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
    values: Floats = attrs.field(converter=_floats)

    def __attrs_post_init__(self) -> None:
        if len(self.values) != len(self.steps):
            raise ValueError(f"curve {self.name!r} has {len(self.steps)} steps but {len(self.values)} values")


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
        log_x: whether the horizontal axis is logarithmic, as ``log_y``.
    """

    title: str
    x_label: str
    y_label: str
    curves: tuple[Curve, ...]
    caption: str
    log_y: bool = False
    smooth: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    log_x: bool = False


@attrs.frozen
class HeatMap:
    """A square table of numbers from -1 to 1, such as cosines, as shades.

    Attributes:
        title: its heading.
        names: of rows and columns, in this order from the upper left.
        values: a row each; None where a number is not defined.
        caption: one or two sentences below it.
    """

    title: str
    names: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    caption: str

    def __attrs_post_init__(self) -> None:
        count = len(self.names)
        if [len(row) for row in self.values] != [count] * count:
            raise ValueError(f"heat map {self.title!r} is not of {count} rows of {count} values")


@attrs.frozen
class Picture:
    """A small picture, such as a grid of samples, drawn enlarged with its pixels visible.

    Attributes:
        title: its heading.
        png: the file's bytes.
        caption: one or two sentences below it.
    """

    title: str
    png: bytes = attrs.field(repr=False)
    caption: str

    def __attrs_post_init__(self) -> None:
        if len(self.png) < 24 or not self.png.startswith(_PNG_SIGNATURE):
            raise ValueError(f"picture {self.title!r} is no PNG file")

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
    rows: tuple[tuple[Cell, ...], ...]
    caption: str
    best: tuple[Best, ...] = ()
    reference: tuple[int, ...] = ()

    def __attrs_post_init__(self) -> None:
        columns, table = len(self.header), f"table {self.title!r}"
        for number, row in enumerate(self.rows):
            if len(row) != columns:
                raise ValueError(f"row {number} of {table} has {len(row)} cells for {columns} columns")
        if self.best and len(self.best) != columns:
            raise ValueError(f"{table} has {len(self.best)} entries of best for {columns} columns")
        if any(not 0 <= row < len(self.rows) for row in self.reference):
            raise ValueError(f"{table} has no row for one of the reference rows {self.reference}")


@attrs.frozen
class Paragraphs:
    """Running text; an empty title gives no heading."""

    title: str
    paragraphs: tuple[str, ...]


Part = Chart | HeatMap | Picture | Table | Paragraphs


@attrs.frozen
class Section:
    """Parts under one heading; neighbouring charts, heat maps and pictures stand side by side."""

    title: str
    parts: tuple[Part, ...]


@attrs.frozen
class Page:
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
