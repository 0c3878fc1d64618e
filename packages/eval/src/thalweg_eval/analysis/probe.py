"""Whether the class of a sample can be read from its hidden states by a linear map.

Features are the means over tokens. Ridge regression onto one number a class, 1 for the sample's own and 0
for the others, is solved in closed form on training samples; on held-out samples the largest number is the
answer. The network itself is shown no class: otherwise the probe would find the one that was given.
"""

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional

from thalweg.types import Head
from thalweg_eval.analysis.observing import Observed
from thalweg_eval.analysis.ridge import LinearMap, RidgeSums

RIDGE = 1e-2


class ProbeFit:
    """Probes of all hidden states, fitted on training samples of one bin of time.

    Args:
        classes: how many there are.
    """

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._sums: dict[Head, RidgeSums] = {}

    def update(self, seen: Observed) -> None:
        """Take a batch."""
        target = functional.one_hot(_labels(seen).long(), self._classes).double()
        for place, tokens in seen.states.items():
            self._sums.setdefault(place, RidgeSums()).update(tokens.mean(1), target)

    def solve(self) -> dict[Head, LinearMap]:
        """The probes by where the states stand."""
        return {place: sums.solve(RIDGE) for place, sums in self._sums.items()}


class ProbeAccuracy:
    """Counts of right answers on held-out samples of one bin of time.

    Args:
        probes: as :class:`ProbeFit` solved them.
    """

    def __init__(self, probes: Mapping[Head, LinearMap]) -> None:
        self._probes, self._count = probes, 0
        self._right = dict.fromkeys(probes, 0)

    def update(self, seen: Observed) -> None:
        """Take a batch."""
        labels = _labels(seen)
        self._count += len(labels)
        for place, probe in self._probes.items():
            answer = probe(seen.states[place].mean(1)).argmax(1)
            self._right[place] += int((answer == labels.to(answer.device)).sum())

    def result(self) -> dict[Head, float]:
        """The share of right answers by place."""
        return {place: right / self._count for place, right in self._right.items()}


def _labels(seen: Observed) -> Tensor:
    labels = seen.drawn.labels
    assert labels is not None  # noqa: S101 - data with classes have them
    return labels
