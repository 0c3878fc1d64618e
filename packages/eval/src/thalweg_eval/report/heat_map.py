"""Heat maps as SVG: shades of one colour above 0 and of another below, with the numbers where they fit.

The shades are translucent, so that text on them can be read on light and on dark paper.
"""

from xml.etree.ElementTree import Element, SubElement, tostring

import attrs

from thalweg_eval.report.charts import COLOURS, cleaned, text_width
from thalweg_eval.report.model import HeatMap
from thalweg_eval.report.numbers import MISSING, fixed

_WIDTH, _LARGEST = 420.0, 56.0
_GAP, _LINE = 8.0, 14.0
_NUMBER = 32.0
"""Width of a square that has room for its number."""

_STRONGEST = 0.6
"""Opacity of 1 and -1: beyond it, text is hard to read."""


@attrs.frozen
class _Squares:
    """Where the upper left square is, and how wide each is."""

    left: float
    top: float
    side: float


def heat_map(part: HeatMap) -> str:
    """A heat map as one well-formed ``<svg>`` element, to be put into an HTML page.

    Names of columns stand upright; where squares are small, only some names are written and no numbers, which
    the description has all the same.
    """
    names = [cleaned(name) for name in part.names]
    label = max(map(text_width, names), default=0.0) + _GAP
    side = min(_LARGEST, (_WIDTH - label) / max(1, len(names)))
    squares = _Squares(label, label, side)
    box = f"0 0 {_WIDTH:g} {label + side * len(names) + 2:g}"
    root = Element("svg", {"viewBox": box, "role": "img", "class": "chart"})
    SubElement(root, "title").text = cleaned(part.title)
    SubElement(root, "desc").text = cleaned(_described(part))
    every = max(1, -(-int(_LINE) // max(1, int(side))))
    for index, name in enumerate(names):
        for column, value in enumerate(part.values[index]):
            _square(root, squares, index, column, value)
        if index % every == 0:
            middle = (index + 0.5) * side
            _label(root, label - _GAP, label + middle + 4, name)
            _label(root, label + middle + 4, label - _GAP, name, upright=True)
    return tostring(root, encoding="unicode")


def _square(root: Element, squares: _Squares, row: int, column: int, value: float | None) -> None:
    x, y = squares.left + column * squares.side, squares.top + row * squares.side
    colour = 0 if value is None or value >= 0 else 1
    strength = 0.0 if value is None else _STRONGEST * min(1.0, abs(value))
    style = f"fill:var(--curve-{colour},{COLOURS[colour]});fill-opacity:{strength:.3f}"
    edge = "stroke:currentColor;stroke-opacity:.14;stroke-width:1"
    place = {"x": x, "y": y, "width": squares.side, "height": squares.side}
    sizes = {name: f"{number:.1f}" for name, number in place.items()}
    SubElement(root, "rect", {**sizes, "style": f"{style};{edge}"})
    if squares.side >= _NUMBER:
        text = MISSING if value is None else fixed(float(value), 2)
        at = {"x": f"{x + squares.side / 2:.1f}", "y": f"{y + squares.side / 2 + 4:.1f}"}
        SubElement(root, "text", {**at, "text-anchor": "middle", "fill": "currentColor"}).text = text


def _label(root: Element, x: float, y: float, text: str, *, upright: bool = False) -> None:
    at = {"x": f"{x:.1f}", "y": f"{y:.1f}", "fill": "currentColor", "fill-opacity": ".72"}
    turned = {"transform": f"rotate(-90 {x:.1f} {y:.1f})"} if upright else {"text-anchor": "end"}
    SubElement(root, "text", {**at, **turned}).text = text


def _described(part: HeatMap) -> str:
    """All numbers, a row each."""
    rows = []
    for name, values in zip(part.names, part.values, strict=True):
        numbers = ", ".join(MISSING if one is None else fixed(float(one), 2) for one in values)
        rows.append(f"{name}: {numbers}.")
    return " ".join(rows)
