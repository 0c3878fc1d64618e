"""A low-rank refiner whose gate knows how far apart in time the branches are.

Between branches i and i + 1 let h be the tokens and p the patch tokens of the noisy image, both of
width D, and d = t_{i+1} - t_i the time gap. The refiner adds a correction of rank r,

    z  = A [LN(h); LN(p)]                     A: 2 D -> r
    h' = h + g(d) * B gelu(z)                 B: r -> D
    g(d) = 2 sigmoid(G emb(d))                a gate for each channel, in (0, 2)

As in LoRA (E. Hu et al., 2021) the correction costs 3 D r parameters where a full layer would cost 2
D^2, and B starts at zero, so that training begins as plain deep supervision. G starts at zero too,
where every gate is 1. It makes no acceleration.
"""

import attrs
import torch
from torch import Tensor, nn

from thalweg.facts import Facts
from thalweg.layers import TimeEmbedding, gelu, layer_norm, linear, zero_linear
from thalweg.types import Boundary, Refinement, Stream


@attrs.frozen
class GatedLoraConfig:
    """A correction of low rank, gated by the time gap.

    Attributes:
        rank: r, of the correction; the width of the tokens is the largest that makes sense.
    """

    rank: int = attrs.field(default=16, validator=attrs.validators.ge(1))

    def build(self, facts: Facts) -> "GatedLora":
        """Build one correction for each of the ``facts.branches - 1`` boundaries."""
        return GatedLora(self.rank, facts)


class GatedLora(nn.Module):
    """See :class:`GatedLoraConfig`."""

    readouts = ()

    def __init__(self, rank: int, facts: Facts) -> None:
        super().__init__()
        # The embedding of the gap is shared, as all boundaries see gaps of the same size.
        self.gap = TimeEmbedding(facts.width)
        self.corrections = nn.ModuleList(Correction(rank, facts.width) for _ in range(facts.branches - 1))

    def forward(self, stream: Stream, boundary: Boundary) -> Refinement:
        """Add the correction of the boundary to the tokens (N, T, D)."""
        correction = self.corrections[boundary.number]
        return Refinement(correction(stream.tokens, boundary.patch_tokens, self.gap(boundary.gap)))


class Correction(nn.Module):
    """The correction at one boundary."""

    def __init__(self, rank: int, width: int) -> None:
        super().__init__()
        self.down = linear(2 * width, rank)
        self.up = zero_linear(rank, width)
        self.gate = zero_linear(width, width)

    def forward(self, tokens: Tensor, patch_tokens: Tensor, gap: Tensor) -> Tensor:
        """tokens and patch_tokens (N, T, D), gap (N, D), embedded."""
        low = self.down(torch.cat([layer_norm(tokens), layer_norm(patch_tokens)], dim=-1))
        gate = 2 * torch.sigmoid(self.gate(nn.functional.silu(gap)))
        return tokens + gate.unsqueeze(1) * self.up(gelu(low))
