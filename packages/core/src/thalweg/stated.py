"""A composition in plain values, as compose takes it and a network carries it (no torch here)."""

from collections.abc import Sequence
from typing import Any


def composition(
    backbone: Any, refiner: Any, branches: int | Sequence[int], interpolant: Any, intermediate_readouts: str
) -> dict[str, Any]:
    """The table of a composition, of which what is as it mostly is goes without saying.

    Args:
        backbone: in plain values.
        refiner: the same; None for none.
        branches: how many equal ones, or the depths at which they end.
        interpolant: in plain values.
        intermediate_readouts: ``shared`` or ``own``.
    """
    found = {
        "backbone": backbone,
        "refiner": refiner,
        "branches": branches if isinstance(branches, int) else list(branches),
        "interpolant": interpolant,
    }
    if intermediate_readouts != "shared":
        found["intermediate_readouts"] = intermediate_readouts
    return found
