"""Line charts as SVG, drawn here so that a report needs neither a plotting library nor a script.

The colours are custom properties with the light palette as their fallback; a page overrides them for a
dark background. They stay apart under simulated protanopia, deuteranopia and tritanopia, and line
patterns distinguish the curves without any colour.
"""

import re
import unicodedata
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

import attrs
import numpy as np

from thalweg.storage.redaction import redacted
from thalweg_eval.report.axes import Axis, step_axis, value_axis
from thalweg_eval.report.curves import Points, running_mean, segments, thin
from thalweg_eval.report.model import Chart, Curve
from thalweg_eval.report.numbers import readable

COLOURS = ("#1b62b5", "#dd6008", "#0b9a86", "#7a1566", "#4a3a05")
# As many patterns as colours would repeat in step with them; four and five give twenty looks.
_PATTERNS = ("", "7 3", "2 3", "9 3 2 3")

_WIDTH = 420.0
_PLOT_HEIGHT = 210.0
_TOP = 30.0
_LABEL = 20.0
_RIGHT = 18.0
_BELOW = 48.0
_ROW = 20.0
_SAMPLE = 26.0  # the piece of line before a name of the legend
_SPACE = 20.0  # after the name
_CHARACTER = 6.9  # width of an average one at the charts' font size; there is no font to measure when writing
# Horizontally, in pixels: what is narrower is not seen.
_STRETCH = 1.0
# Beyond these, differences and logarithms of values leave float64.
_LARGEST, _SMALLEST = 1e200, 1e-200
_NOT_XML = re.compile("[^\\t\\n\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")

Point = tuple[float, float]


@attrs.frozen
class _Frame:
    """The plot's rectangle and the axes along it."""

    x: Axis
    y: Axis
    left: float

    def at(self, points: Points) -> Points:
        """Where points are on the page."""
        along = self.left + self.x.place(points[:, 0]) * (_WIDTH - _RIGHT - self.left)
        return np.column_stack([along, _TOP + (1 - self.y.place(points[:, 1])) * _PLOT_HEIGHT])

    def corner(self, along: float, across: float) -> Point:
        """The same of one point."""
        return tuple(self.at(np.array([[along, across]]))[0].tolist())


def svg(chart: Chart) -> str:
    """A chart as one well-formed ``<svg>`` element, to be put into an HTML page.

    What is not finite (and, on a logarithmic axis, not positive) leaves a gap, is left out of the range
    and counted in a note. Long curves are thinned to what can be seen, with every extreme kept. A
    chart without any point says so.
    """
    shown = [_points(chart, curve) for curve in chart.curves]
    names = [_shorten(cleaned(curve.name), _WIDTH - 2 * _SAMPLE) for curve in chart.curves]
    places = _arrange(names, _WIDTH)
    rows = places[-1][1] + 1 if places else 0
    remarks = _notes(chart, shown)
    height = _TOP + _PLOT_HEIGHT + _BELOW + _ROW * (rows + len(remarks))
    # The title says what is measured where it begins with that, and stands where the label would.
    labelled = not chart.title.startswith(chart.y_label)
    above = 0.0 if labelled else _LABEL
    box = f"0 {above:g} {_WIDTH:g} {height - above:g}"
    root = Element("svg", {"viewBox": box, "role": "img", "class": "chart"})
    SubElement(root, "title").text = cleaned(chart.title)
    SubElement(root, "desc").text = cleaned(_describe(chart, shown))
    if any(not np.isnan(line).all() for line in shown):
        frame = _frame(chart, shown)
        _draw_axes(root, frame)
        _draw_curves(root, frame, shown, chart.smooth)
    else:
        _text(root, _WIDTH / 2, _TOP + _PLOT_HEIGHT / 2, "no data", anchor="middle")
    if labelled:
        _text(root, 0.0, 14.0, _shorten(cleaned(chart.y_label), _WIDTH), muted=True)
    _text(root, _WIDTH - _RIGHT, _TOP + _PLOT_HEIGHT + 38, cleaned(chart.x_label), anchor="end", muted=True)
    for index, (name, (offset, row)) in enumerate(zip(names, places, strict=True)):
        baseline = _TOP + _PLOT_HEIGHT + _BELOW + _ROW * row + 12
        _line(root, (offset, baseline - 4), (offset + _SAMPLE - 6, baseline - 4), _look(index))
        _text(root, offset + _SAMPLE, baseline, name)
    for index, remark in enumerate(remarks):
        _text(root, 0.0, _TOP + _PLOT_HEIGHT + _BELOW + _ROW * (rows + index) + 12, remark, muted=True)
    return tostring(root, encoding="unicode")


def _points(chart: Chart, curve: Curve) -> Points:
    """A curve's points, NaN where one cannot be drawn."""
    points = np.column_stack([np.asarray(curve.steps, np.float64), np.asarray(curve.values, np.float64)])
    with np.errstate(invalid="ignore"):
        drawable = (np.abs(points) <= _LARGEST).all(axis=1)
        for column, log in enumerate((chart.log_x, chart.log_y)):
            if log:
                drawable &= points[:, column] >= _SMALLEST
    points[~drawable] = np.nan
    return points


def _frame(chart: Chart, shown: list[Points]) -> _Frame:
    drawn = [line for line in shown if not np.isnan(line).all()]
    low = np.min([np.nanmin(line, axis=0) for line in drawn], axis=0).tolist()
    high = np.max([np.nanmax(line, axis=0) for line in drawn], axis=0).tolist()
    y = value_axis(low[1], high[1], log=chart.log_y)
    x = value_axis(low[0], high[0], log=True) if chart.log_x else step_axis(low[0], high[0])
    return _Frame(x, y, max(map(text_width, y.labels)) + 14)


def _draw_axes(root: Element, frame: _Frame) -> None:
    bottom = _TOP + _PLOT_HEIGHT
    for tick, label in zip(frame.y.ticks, frame.y.labels, strict=True):
        _, across = frame.corner(frame.x.low, tick)
        _line(root, (frame.left, across), (_WIDTH - _RIGHT, across), "stroke:currentColor;stroke-opacity:.14")
        _text(root, frame.left - 8, across + 4, label, anchor="end", muted=True)
    axis = "stroke:currentColor;stroke-opacity:.55"
    _line(root, (frame.left, bottom), (_WIDTH - _RIGHT, bottom), axis)
    for tick, label in zip(frame.x.ticks, frame.x.labels, strict=True):
        along, _ = frame.corner(tick, frame.y.low)
        _line(root, (along, bottom), (along, bottom + 4), axis)
        # The last one may stand at the edge, and stays within it.
        middle = min(along, _WIDTH - text_width(label) / 2)
        _text(root, middle, bottom + 19, label, anchor="middle", muted=True)


def _draw_curves(root: Element, frame: _Frame, shown: list[Points], smooth: int) -> None:
    # Means are taken of values, and pieces are separated by gaps that can be seen.
    across = (frame.x.high - frame.x.low) / (_WIDTH - _RIGHT - frame.left)
    pieces = [
        (piece, _look(index))
        for index, line in enumerate(shown)
        for piece in segments(line, _STRETCH * across)
    ]
    if smooth > 1:
        # All of them before the first mean, which none of them may cover.
        for piece, look in pieces:
            _draw_piece(root, frame, piece, look.partition(";stroke-dasharray")[0] + ";stroke-opacity:.28")
    for piece, look in pieces:
        _draw_piece(root, frame, running_mean(piece, smooth), look)


def _draw_piece(root: Element, frame: _Frame, piece: Points, look: str) -> None:
    corners = thin(frame.at(piece), _STRETCH).tolist()
    if len(corners) == 1:
        along, across = corners[0]
        colour = look.partition(";")[0].replace("stroke", "fill")
        SubElement(root, "circle", {"cx": f"{along:.1f}", "cy": f"{across:.1f}", "r": "2.5", "style": colour})
    else:
        path = " ".join(f"{along:.1f},{across:.1f}" for along, across in corners)
        SubElement(root, "polyline", {"points": path, "style": look})


def _look(index: int) -> str:
    colour, pattern = index % len(COLOURS), _PATTERNS[index % len(_PATTERNS)]
    dashes = f";stroke-dasharray:{pattern}" if pattern else ""
    stroke = f"stroke:var(--curve-{colour},{COLOURS[colour]})"
    return f"{stroke};fill:none;stroke-width:1.7;stroke-linejoin:round{dashes}"


def _line(root: Element, start: Point, end: Point, style: str) -> None:
    ends = {"x1": start[0], "y1": start[1], "x2": end[0], "y2": end[1]}
    SubElement(root, "line", {**{name: f"{at:.1f}" for name, at in ends.items()}, "style": style})


def _text(
    root: Element, x: float, y: float, text: str, *, anchor: str = "start", muted: bool = False
) -> None:
    attributes = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "fill": "currentColor"}
    SubElement(root, "text", {**attributes, **({"fill-opacity": ".72"} if muted else {})}).text = text


def text_width(text: str) -> float:
    """An estimate of a text's width, wide East Asian characters counted twice."""
    return _CHARACTER * sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _shorten(text: str, width: float) -> str:
    """The text, cut with an ellipsis where it is wider than that."""
    if text_width(text) <= width:
        return text
    while text and text_width(text) + _CHARACTER > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _arrange(names: Sequence[str], width: float) -> list[tuple[float, int]]:
    """Where each name's entry begins: horizontal offset and number of its row.

    Args:
        names: shortened names, in order.
        width: of a row.
    """
    places: list[tuple[float, int]] = []
    offset, row = 0.0, 0
    for name in names:
        needed = _SAMPLE + text_width(name)
        if offset and offset + needed > width:
            offset, row = 0.0, row + 1
        places.append((offset, row))
        offset += needed + _SPACE
    return places


def _notes(chart: Chart, shown: Sequence[Points]) -> list[str]:
    """What has to be noted below a chart, given each curve's points with NaN where one is left out."""
    missing = sum(int(np.isnan(line[:, 1]).sum()) for line in shown)
    reason = "not finite or not positive" if chart.log_x or chart.log_y else "not finite"
    remarks = (
        [f"strong lines: mean of {chart.smooth:,} points; pale: every point"] if chart.smooth > 1 else []
    )
    if missing:
        remarks.append(f"{missing:,} {'point' if missing == 1 else 'points'} left out: {reason}")
    return remarks


def _describe(chart: Chart, shown: Sequence[Points]) -> str:
    """The axes, and where each curve begins, ends and is lowest."""
    scale = ", on a logarithmic scale" if chart.log_y else ""
    if chart.log_x:
        scale = ", both on logarithmic scales" if chart.log_y else ", the latter on a logarithmic scale"
    curves = [_summary(curve, line) for curve, line in zip(chart.curves, shown, strict=True)]
    return " ".join([f"{chart.y_label} over {chart.x_label}{scale}.", *curves])


def cleaned(text: str) -> str:
    """The text without secrets, and without the control characters that XML forbids even when escaped."""
    return _NOT_XML.sub("", redacted(text))


def _summary(curve: Curve, line: Points) -> str:
    points = line[~np.isnan(line[:, 1])]
    if not len(points):
        return f"{curve.name}: no data."
    (start, first), (end, last) = points[0].tolist(), points[-1].tolist()
    lowest = readable(float(points[:, 1].min()))
    return (
        f"{curve.name}: {readable(first)} at {_step(start)} to {readable(last)} at {_step(end)}, "
        f"lowest {lowest}."
    )


def _step(step: float) -> str:
    return readable(int(step) if step == int(step) else step)
