"""Whether the heads of a network pull at their shared parameters in the same direction.

For heads i and j, the cosine of the gradients of E|V - v_i|^2 and E|V - v_j|^2 with respect to all
parameters of backbone and refiner on which both depend: blocks up to the earlier head, and embeddings; no
read-out layer is among them. Heads on detached tokens are computed as if these were not detached.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor

from thalweg.network import FlowNetwork
from thalweg.network_pass import Pass
from thalweg.types import Head
from thalweg_eval.analysis.drawing import Drawn

Gradients = list[Tensor | None]


class HeadGradients:
    """Gradients of each head's squared error, summed over samples.

    Args:
        network: whose.

    Attributes:
        heads: which, the last one last.
    """

    def __init__(self, network: FlowNetwork) -> None:
        facts = network.facts
        self._network = network
        self.heads = tuple(Head(after) for after in (*facts.weak_heads, facts.depth))
        self._sums: list[Gradients] = []

    def update(self, drawn: Drawn) -> None:
        """Take a batch."""
        network = self._network
        with torch.enable_grad(), _attached(network) as parameters:
            times_kN = drawn.t.expand(network.branches, -1)
            passed = Pass(network, drawn.x_t, times_kN, drawn.condition).through(self.heads)
            found: list[Gradients] = []
            for head in self.heads:
                error = (drawn.velocity - passed.velocities[head]).square().sum() / drawn.velocity[0].numel()
                kept = head != self.heads[-1]
                found.append(
                    list(torch.autograd.grad(error, parameters, retain_graph=kept, allow_unused=True))
                )
        self._add(found)

    def add(self, other: "HeadGradients") -> None:
        """Take what another one has summed."""
        self._add(other._sums)

    def result(self) -> list[list[float | None]]:
        """Cosines, heads x heads; None where a gradient is 0."""
        return [[cosine(one, other) for other in self._sums] for one in self._sums]

    def _add(self, found: Sequence[Gradients]) -> None:
        if not self._sums:
            self._sums = [list(one) for one in found]
            return
        for sums, more in zip(self._sums, found, strict=True):
            for place, gradient in enumerate(more):
                here = sums[place]
                sums[place] = gradient if here is None or gradient is None else here + gradient


def cosine(one: Sequence[Tensor | None], other: Sequence[Tensor | None]) -> float | None:
    """Cosine of two gradients over the parameters that both have; None if one of them is 0 there."""
    products = [0.0, 0.0, 0.0]
    for g, h in zip(one, other, strict=True):
        if g is not None and h is not None:
            for place, (left, right) in enumerate(((g, h), (g, g), (h, h))):
                products[place] += float((left * right).sum())
    norm = (products[1] * products[2]) ** 0.5
    return max(-1.0, min(1.0, products[0] / norm)) if norm > 0 else None


@contextmanager
def _attached(network: FlowNetwork) -> Iterator[list[Tensor]]:
    """The parameters of backbone and refiner, all trainable, while no head reads detached tokens."""
    refined = () if network.refiner is None else network.refiner.parameters()
    parameters = list(chain(network.backbone.parameters(), refined))
    trained, detached = [one.requires_grad for one in parameters], network.detach_heads
    try:
        network.detach_heads = False
        for one in parameters:
            one.requires_grad_(True)
        yield parameters
    finally:
        network.detach_heads = detached
        for one, before in zip(parameters, trained, strict=True):
            one.requires_grad_(before)
