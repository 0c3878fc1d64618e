"""Plain deep supervision: the next branch reads what the last one wrote (DeepFlow, equation 4)."""

import attrs
from torch import nn

from thalweg.facts import Facts
from thalweg.types import Boundary, Refinement, Stream


@attrs.frozen
class PlainConfig:
    """Deep supervision alone: a velocity is read after every branch, the tokens pass unchanged."""

    def build(self, _: Facts) -> "Plain":
        """Build it."""
        return Plain()


class Plain(nn.Module):
    """See :class:`PlainConfig`. Fulfils :class:`thalweg.protocols.Refiner`."""

    readouts = ()

    def forward(self, stream: Stream, boundary: Boundary) -> Refinement:  # noqa: ARG002 - part of the contract
        """The tokens as they are."""
        return Refinement(stream.tokens)
