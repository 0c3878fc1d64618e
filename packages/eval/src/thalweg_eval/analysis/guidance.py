"""What guidance by an intermediate head would do to the velocity, over time.

:func:`thalweg.calibrate` measures w* = 1 + E<d, V - v_f> / E|d|^2 with d = v_f - v_i on training samples. A
calibrated guidance of strength c moves v_f by c (w* - 1) d. On held-out samples: its share of the velocity,
sqrt(E|c (w* - 1) d|^2 / E|v_f|^2), and the error E|V - v|^2 before and after.
"""

from collections.abc import Sequence
from typing import Any

from thalweg.calibrating import HeadProducts
from thalweg.calibration import Calibration
from thalweg.devices import exact
from thalweg.types import Head
from thalweg_eval.analysis.observing import Observed

STRENGTHS = (1.0, 3.0)


class HeldOutHeads:
    """The products of a :class:`thalweg.calibration.Calibration` of one bin of time, on held-out samples."""

    def __init__(self) -> None:
        self._products, self._norm = HeadProducts(), 0.0

    def update(self, seen: Observed) -> None:
        """Take a batch."""
        *weak, last = seen.velocities.values()
        self._products.update(weak, last, seen.drawn.velocity)
        last_M = exact(last).flatten()
        self._norm += float(last_M @ last_M)

    def result(self) -> dict[str, Any]:
        """G, r and e per element, and ``velocity``, E|v_f|^2."""
        return {**self._products.means(), "velocity": self._norm / self._products.elements}


def effects(measured: Calibration, held_out: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each head, what its calibrated guidance does to held-out samples.

    Args:
        measured: on training samples.
        held_out: what :class:`HeldOutHeads` found in each bin.
    """
    elsewhere = Calibration.of_bins(measured.heads, measured.edges, held_out, {})
    return [
        _effect(measured, elsewhere, head, [one["velocity"] for one in held_out]) for head in measured.heads
    ]


def _effect(
    measured: Calibration, held_out: Calibration, head: Head, velocity: Sequence[float]
) -> dict[str, Any]:
    k = held_out.heads.index(head)
    squares = [products[k][k] for products in held_out.products]
    strengths = []
    for c in STRENGTHS:
        curve = measured.scale(head, c)
        share = [
            abs(w - 1) * (square / norm) ** 0.5 if norm else None
            for w, square, norm in zip(curve.values, squares, velocity, strict=True)
        ]
        strengths.append({"strength": c, "share": share, "error": list(held_out.error(head, curve))})
    return {
        "scale": list(measured.scale(head, 1.0).values),
        "difference": squares,
        "error": list(held_out.errors),
        "strengths": strengths,
    }
