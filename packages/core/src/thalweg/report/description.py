"""What a chart says in words: the description for those who cannot see it, and notes on what is missing."""

import re
from collections.abc import Sequence

import numpy as np

from thalweg.report.model import Chart, Curve
from thalweg.report.numbers import readable
from thalweg.report.thinning import Points
from thalweg.storage.redaction import redacted

_NOT_XML = re.compile("[^\\t\\n\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")


def notes(chart: Chart, shown: Sequence[Points]) -> list[str]:
    """What has to be said below a chart, given each curve's points with NaN where one is left out."""
    missing = sum(int(np.isnan(line[:, 1]).sum()) for line in shown)
    reason = "not finite or not positive" if chart.log_y else "not finite"
    remarks = (
        [f"strong lines: mean of {chart.smooth:,} points; pale: every point"] if chart.smooth > 1 else []
    )
    if missing:
        remarks.append(f"{missing:,} {'point' if missing == 1 else 'points'} left out: {reason}")
    return remarks


def describe(chart: Chart, shown: Sequence[Points]) -> str:
    """The axes, and where each curve begins, ends and is lowest."""
    scale = ", on a logarithmic scale" if chart.log_y else ""
    curves = [_summary(curve, line) for curve, line in zip(chart.curves, shown, strict=True)]
    return " ".join([f"{chart.y_label} over {chart.x_label}{scale}.", *curves])


def clean(text: str) -> str:
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
