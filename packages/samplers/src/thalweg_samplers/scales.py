"""The scale of a guidance: a number, a curve over time, or what was calibrated."""

import math
from typing import Any

import torch
from torch import Tensor

from thalweg.broadcasting import like
from thalweg.calibration import TimeCurve
from thalweg.types import Query

CALIBRATED = "calibrated"

Scale = float | str | tuple[tuple[float, float], ...]
"""A number, ``"calibrated"``, or points (t, scale) of a curve that is linear between them."""


def as_scale(scale: Any) -> Any:
    """Lists of points as tuples; whatever else is left to the validator."""
    if isinstance(scale, list | tuple):
        return tuple(tuple(point) if isinstance(point, list | tuple) else point for point in scale)
    return scale


def check_number_or_curve(_: object, attribute: Any, scale: Any) -> None:
    """A number of at least 0 or a curve of such, as a validator of attrs."""
    if _is_number(scale) or _is_curve(scale):
        return
    raise ValueError(
        f"'{attribute.name}' must be a finite number of at least 0, or points [t, scale] with rising t from "
        f"0 to 1, such as [[0.0, 1.2], [1.0, 1.6]]: {scale!r}"
    )


def check_scale(_: object, attribute: Any, scale: Any) -> None:
    """The same, or ``"calibrated"``."""
    if scale == CALIBRATED:
        return
    if isinstance(scale, str):
        raise ValueError(f"'{attribute.name}' must be a number, points [t, scale] or 'calibrated': {scale!r}")
    check_number_or_curve(_, attribute, scale)


def curve_of(scale: Scale) -> TimeCurve:
    """A number or points as a function of time."""
    points = scale if isinstance(scale, tuple) else ((0.0, float(scale)),)
    times, values = zip(*points, strict=True)
    return TimeCurve(times, values)


def is_one(scale: Scale) -> bool:
    """Whether a scale leaves everything as it is."""
    return scale != CALIBRATED and all(value == 1 for value in curve_of(scale).values)


def at(curve: TimeCurve, query: Query, x: Tensor) -> Tensor:
    """A curve at a query's times, shaped for its samples."""
    return like(curve(query.t).to(x), x)


def led(last: Tensor, weak: Tensor, scale: Tensor) -> Tensor:
    """weak + scale (last - weak), which is the last one to the bit where the scale is 1."""
    return torch.addcmul(last, scale - 1, last - weak)


def _is_number(scale: Any) -> bool:
    return isinstance(scale, int | float) and not isinstance(scale, bool) and 0 <= scale < math.inf


def _is_curve(scale: Any) -> bool:
    if not isinstance(scale, tuple) or not scale:
        return False
    pairs = all(isinstance(one, tuple) and len(one) == 2 and all(map(_is_number, one)) for one in scale)
    times = [one[0] for one in scale] if pairs else []
    return pairs and times == sorted(set(times)) and times[-1] <= 1
