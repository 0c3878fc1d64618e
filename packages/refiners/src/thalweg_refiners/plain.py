"""Plain deep supervision: the next branch reads what the last one wrote (DeepFlow, equation 4)."""

import attrs
from jaxtyping import Float
from torch import Tensor, nn

from thalweg.facts import Facts
from thalweg.types import Refinement


@attrs.frozen
class PlainConfig:
    """Deep supervision alone: a velocity is read after every branch, the tokens go on unchanged."""

    def build(self, facts: Facts) -> "Plain":  # noqa: ARG002 - it has no parameters
        """Build it."""
        return Plain()


class Plain(nn.Module):
    """See :class:`PlainConfig`. Fulfils :class:`thalweg.protocols.Refiner`."""

    has_acceleration = False

    def forward(
        self,
        tokens: Float[Tensor, "N T D"],
        patch_tokens: Float[Tensor, "N T D"],  # noqa: ARG002 - part of the contract
        time_gap: Float[Tensor, " N"],  # noqa: ARG002 - the same
        boundary: int,  # noqa: ARG002 - the same
    ) -> Refinement:
        """The tokens as they are."""
        return Refinement(tokens)
