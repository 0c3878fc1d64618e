"""The velocity's squared error per depth: of heads as they are, and of linear read-outs of hidden states.

A head's error is E|V - v|^2 per element. A depth without a head has none, so that a linear map is fitted on
training samples from each token, normalised as heads do it, to the velocity of its patch: ridge regression in
closed form, one map a depth and bin of time. It is then measured on held-out samples. The last depth gets one
too, beside the last head itself: the difference is what a head gains by more than a linear map, and by
having been trained with the rest.
"""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor

from thalweg.devices import exact
from thalweg.facts import Facts
from thalweg.layers import layer_norm
from thalweg.types import Head
from thalweg_eval.analysis.observing import Observed
from thalweg_eval.analysis.ridge import LinearMap, RidgeSums

RIDGE = 1e-3


def patches(velocity: Float[Tensor, "N *shape"], facts: Facts) -> Float[Tensor, "N T P"] | None:
    """The elements of a velocity that each token stands for, row by row; None if it is not known which."""
    rows, columns = facts.grid
    if (rows, columns) == (1, 1):
        return velocity.flatten(1).unsqueeze(1)
    if velocity.dim() != 4 or velocity.shape[2] % rows or velocity.shape[3] % columns:
        return None
    cut = velocity.unflatten(3, (columns, -1)).unflatten(2, (rows, -1))  # N C rows h columns w
    tokens: Tensor = cut.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
    return tokens


class ReadoutFit:
    """Linear read-outs of all depths, fitted on training samples of one bin of time."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._sums: dict[Head, RidgeSums] = {}

    def update(self, seen: Observed) -> None:
        """Take a batch."""
        target = patches(seen.drawn.velocity, self._facts)
        for place, tokens in seen.states.items():
            if place.form == "plain" and target is not None and tokens.shape[1] == target.shape[1]:
                sums = self._sums.setdefault(place, RidgeSums())
                sums.update(layer_norm(tokens).flatten(0, 1), target.flatten(0, 1))

    def solve(self) -> dict[Head, LinearMap]:
        """The maps by depth; none if it is not known for which elements a token stands."""
        return {place: sums.solve(RIDGE) for place, sums in self._sums.items()}


class VelocityErrors:
    """Sums of squared errors on held-out samples of one bin of time.

    Args:
        readouts: linear maps by depth.
        facts: of the network.
    """

    def __init__(self, readouts: Mapping[Head, LinearMap], facts: Facts) -> None:
        self._readouts, self._facts, self._elements = readouts, facts, 0
        self._heads: dict[Head, float] = {}
        self._linear: dict[Head, float] = {}

    def update(self, seen: Observed) -> None:
        """Take a batch."""
        V = seen.drawn.velocity
        self._elements += V.numel()
        for head, v in seen.velocities.items():
            self._heads[head] = self._heads.get(head, 0.0) + _squares(V - v)
        for place, readout in self._readouts.items():
            target = patches(V, self._facts)
            assert target is not None  # noqa: S101 - else there were no maps
            left = exact(target) - readout(layer_norm(seen.states[place]))
            self._linear[place] = self._linear.get(place, 0.0) + _squares(left)

    def result(self) -> dict[str, dict[Head, Any]]:
        """E|V - v|^2 of ``heads`` and of ``readouts``, per element."""
        heads, linear = (
            {place: total / self._elements for place, total in sums.items()}
            for sums in (self._heads, self._linear)
        )
        return {"heads": heads, "readouts": linear}


def _squares(x: Tensor) -> float:
    return float(exact(x).square().sum())
