"""A network some of whose blocks are skipped: the weak one of path-drop guidance."""

from typing import Any

from jaxtyping import Float
from torch import Tensor

from thalweg.types import Condition


class SkippingNetwork:
    """A network some of whose blocks are skipped, as something to sample from.

    Attributes:
        module: the whole network.
        facts: its own.
        interpolant: its own.
        cost: the share of its blocks that is left.
    """

    def __init__(self, network: Any, start: int, stop: int) -> None:
        self.module, self.facts, self.interpolant = network, network.facts, network.interpolant
        self._skipped = (start, stop)
        self.cost = 1 - (stop - start) / self.facts.depth

    def velocity(
        self, x: Float[Tensor, "N *shape"], t: Float[Tensor, " N"], condition: Condition
    ) -> Float[Tensor, "N *shape"]:
        """The last head's velocity."""
        (found,) = self.module.heads(x, t, condition, (-1,), skipped=self._skipped)
        velocity: Tensor = found
        return velocity
