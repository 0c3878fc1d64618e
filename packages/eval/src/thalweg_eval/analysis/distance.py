"""How far the tokens of each depth are from the last block's (DeepFlow, figure 2d).

Relative: sqrt(E|z - z_L|^2 / E|z_L|^2), which does not depend on how long tokens are. Euclidean:
E|z - z_L|, the mean over tokens, as the figure has it.
"""

from typing import Any

from thalweg.types import Head
from thalweg_eval.analysis.observing import Observed


class Distances:
    """Sums over held-out samples of one bin of time.

    Args:
        last: the last depth.
    """

    def __init__(self, last: Head) -> None:
        self._last, self._tokens, self._norm = last, 0, 0.0
        self._sums: dict[Head, tuple[float, float]] = {}

    def update(self, seen: Observed) -> None:
        """Take a batch."""
        last = seen.states[self._last]
        self._tokens += last.shape[0] * last.shape[1]
        self._norm += float(last.square().sum())
        for place, tokens in seen.states.items():
            if place != self._last:
                squares = (tokens - last).square().sum(-1)
                square, norm = self._sums.get(place, (0.0, 0.0))
                more = float(squares.sum()), float(squares.sqrt().sum())
                self._sums[place] = (square + more[0], norm + more[1])

    def result(self) -> dict[str, dict[Head, Any]]:
        """``relative`` (None where the last tokens are 0) and ``euclidean`` ones, by place."""
        relative = {
            place: (squares / self._norm) ** 0.5 if self._norm else None
            for place, (squares, _) in self._sums.items()
        }
        return {
            "relative": relative,
            "euclidean": {place: sums / self._tokens for place, (_, sums) in self._sums.items()},
        }
