"""FiLM between branches: one scale and one shift a channel, from the condition and the time gap.

E. Perez et al., FiLM: visual reasoning with a general conditioning layer, 2018, equation 2, with
gamma = 1 + s and beta = b. As a refiner it is not from a paper.
"""

import attrs
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from thalweg.facts import Facts
from thalweg.layers import TimeEmbedding, modulate, zero_linear
from thalweg.types import Boundary, Refinement, Stream


@attrs.frozen
class FiLMConfig:
    """Tokens are scaled and shifted channel by channel, starting as plain deep supervision.

    With tokens h of width D, the condition vector c and the time gap d,

        h' = h (1 + s) + b,  (s, b) = W silu(c + E(d)),

    the same for all tokens of a sample, with W: D -> 2 D that starts at zero. The acceleration's features are
    the same tokens under a scale and a shift of their own, a = h (1 + s_a) + b_a, for which W gives 4 D.
    VeRA makes them by an MLP of h, and the next tokens of both; here nothing mixes channels, so that the
    acceleration is read from what the branch itself has found.

    Attributes:
        acceleration: make acceleration features.
        shared: one W for all boundaries; else each has its own.
    """

    acceleration: bool = True
    shared: bool = False

    def build(self, facts: Facts) -> "FiLM":
        """Build a modulation for each of the ``facts.branches - 1`` boundaries, or one for all."""
        return FiLM(self, facts)


class FiLM(nn.Module):
    """See :class:`FiLMConfig`. Fulfils :class:`thalweg.protocols.Refiner`."""

    def __init__(self, config: FiLMConfig, facts: Facts) -> None:
        super().__init__()
        self.readouts = ("acceleration",) if config.acceleration else ()
        # One embedder serves all boundaries, which see gaps of the same size.
        self.time_gap = TimeEmbedding(facts.width)
        count = 1 if config.shared else facts.branches - 1
        self.blocks = nn.ModuleList(Modulation(facts.width, 1 + len(self.readouts)) for _ in range(count))

    def forward(self, stream: Stream, boundary: Boundary) -> Refinement:
        """Modulate the tokens of the branch that ended for the next one."""
        block = self.blocks[0 if len(self.blocks) == 1 else boundary.number]
        tokens, *features = block(stream.tokens, boundary.c + self.time_gap(boundary.gap))
        return Refinement(tokens, dict(zip(self.readouts, features, strict=True)))


class Modulation(nn.Module):
    """What stands at one boundary: tokens under ``count`` scales and shifts."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.modulation = zero_linear(width, 2 * count * width)

    def forward(
        self, tokens: Float[Tensor, "N T D"], condition: Float[Tensor, "N D"]
    ) -> tuple[Float[Tensor, "N T D"], ...]:
        """The tokens under each."""
        parts = self.modulation(functional.silu(condition)).chunk(2 * self.count, dim=-1)
        shifts, scales = parts[::2], parts[1::2]
        return tuple(modulate(tokens, *pair) for pair in zip(shifts, scales, strict=True))
