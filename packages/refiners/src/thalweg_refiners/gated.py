"""A low-rank refiner whose gate knows how far apart in time the branches are; not from a paper."""

import attrs
import torch
from attrs.validators import and_, ge, le
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from thalweg.facts import Facts
from thalweg.layers import TimeEmbedding, gelu, layer_norm, linear, zero_linear
from thalweg.types import Boundary, Refinement, Stream


@attrs.frozen
class GatedConfig:
    """A correction of low rank, gated by the time gap.

    With tokens h, patch tokens p, both of width D, and the time gap d, a correction of rank r is added,

        h' = h + g(d) B gelu(A [LN(h); LN(p)]),  g(d) = 2 sigmoid(G silu(E(d))),

    A: 2 D -> r, B: r -> D and G: D -> D, a gate in (0, 2) for each channel. As in LoRA (E. Hu et al., 2022,
    section 4.1) it costs 3 D r weights where a full layer would cost 2 D^2, and B starts at zero, so that
    training starts as plain deep supervision; G does too, where every gate is 1. No acceleration.

    Attributes:
        rank: r, of the correction; one above D makes it no more general.
    """

    rank: int = attrs.field(default=16, validator=and_(ge(1), le(65_536)))

    def build(self, facts: Facts) -> "Gated":
        """Build a correction for each of the ``facts.branches - 1`` boundaries."""
        return Gated(self.rank, facts)


class Gated(nn.Module):
    """See :class:`GatedConfig`. Fulfils :class:`thalweg.protocols.Refiner`."""

    readouts = ()

    def __init__(self, rank: int, facts: Facts) -> None:
        super().__init__()
        # One embedder serves all boundaries, which see gaps of the same size.
        self.gap = TimeEmbedding(facts.width)
        self.corrections = nn.ModuleList(Correction(rank, facts.width) for _ in range(facts.branches - 1))

    def forward(self, stream: Stream, boundary: Boundary) -> Refinement:
        """Add the boundary's correction to the tokens."""
        correction = self.corrections[boundary.number]
        return Refinement(correction(stream.tokens, boundary.patch_tokens, self.gap(boundary.gap)))


class Correction(nn.Module):
    """What stands at one boundary."""

    def __init__(self, rank: int, width: int) -> None:
        super().__init__()
        self.down = linear(2 * width, rank)
        self.up = zero_linear(rank, width)
        self.gate = zero_linear(width, width)

    def forward(
        self,
        tokens: Float[Tensor, "N T D"],
        patch_tokens: Float[Tensor, "N T D"],
        gap_embedding: Float[Tensor, "N D"],
    ) -> Float[Tensor, "N T D"]:
        """The next branch's tokens."""
        low_NTr = self.down(torch.cat([layer_norm(tokens), layer_norm(patch_tokens)], dim=-1))
        gate_ND = 2 * torch.sigmoid(self.gate(functional.silu(gap_embedding)))
        corrected: Tensor = tokens + gate_ND.unsqueeze(1) * self.up(gelu(low_NTr))
        return corrected
