"""A refiner whose gate is learnt from time and class: h' = h + 2 sigmoid(G silu(c)) * M [LN(h); LN(p)]."""

import attrs
import torch
from torch import nn
from torch.nn import functional

import thalweg


@thalweg.register("refiner", "told_gate")
@attrs.frozen
class ToldGateConfig:
    """One correction for all boundaries, gated channel by channel by what the branch was conditioned on.

    Attributes:
        rank: of the correction.
    """

    rank: int = attrs.field(default=16, validator=attrs.validators.ge(1))

    def build(self, facts: thalweg.Facts) -> "ToldGate":
        """Build one module, which all boundaries share."""
        return ToldGate(facts.width, self.rank)


class ToldGate(nn.Module):
    """See :class:`ToldGateConfig`."""

    readouts = ()

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(2 * width, rank), nn.Linear(rank, width)
        self.gate = nn.Linear(width, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, stream: thalweg.Stream, boundary: thalweg.Boundary) -> thalweg.Refinement:
        """Tokens and patch tokens are (N, T, D), c is (N, D) and knows time and class."""
        normed = [
            functional.layer_norm(one, one.shape[-1:]) for one in (stream.tokens, boundary.patch_tokens)
        ]
        correction = self.up(functional.gelu(self.down(torch.cat(normed, dim=-1))))
        gate = 2 * torch.sigmoid(self.gate(functional.silu(boundary.c)))
        return thalweg.Refinement(stream.tokens + gate.unsqueeze(1) * correction)
