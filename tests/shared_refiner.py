"""A refiner that shares one module among boundaries."""

import attrs
from torch import nn

import thalweg


@thalweg.register("refiner", "shared")
@attrs.frozen
class SharedConfig:
    """The same linear layer at each of two boundaries."""

    def build(self, facts: thalweg.Facts) -> "Shared":
        """Build it."""
        return Shared(facts.width)


class Shared(nn.Module):
    """See :class:`SharedConfig`."""

    readouts = ()

    def __init__(self, width: int) -> None:
        super().__init__()
        layer = nn.Linear(width, width)
        self.layers = nn.ModuleList([layer, layer])

    def forward(self, stream: thalweg.Stream, boundary: thalweg.Boundary) -> thalweg.Refinement:
        """The tokens and what the layer makes of them."""
        return thalweg.Refinement(stream.tokens + self.layers[boundary.number](stream.tokens))
