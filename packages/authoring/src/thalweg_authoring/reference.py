"""The simplest backbone and refiner that keep the contracts: partners of the components under test.

They are registered nowhere. A refiner that is checked where no backbone is installed stands between the
branches of this one, and it shows that nothing is relied on beyond the contract.
"""

import math

import attrs
import torch
from jaxtyping import Float
from torch import Tensor, nn

from thalweg.facts import Facts
from thalweg.layers import MLP, TimeEmbedding, layer_norm, linear, modulate, zero_linear
from thalweg.types import Boundary, Condition, Refinement, Stream

_PATCH = 2
_WIDTH = 32
_DEPTH = 4


@attrs.frozen
class ReferenceBackboneConfig:
    """A stack of modulated MLPs, with a mean over tokens in place of attention.

    An image has as many tokens as patches of 2 x 2, anything else has one.
    """

    def build(self, facts: Facts) -> "ReferenceBackbone":
        """Build it."""
        return ReferenceBackbone(facts)


class ReferenceBackbone(nn.Module):
    """See :class:`ReferenceBackboneConfig`."""

    depth = _DEPTH
    width = _WIDTH
    heads = 4

    def __init__(self, facts: Facts) -> None:
        super().__init__()
        shape, image = facts.shape, len(facts.shape) == 3
        self.grid = (shape[1] // _PATCH, shape[2] // _PATCH) if image else (1, 1)
        self._shape, tokens = shape, math.prod(self.grid)
        self.tokens = nn.Linear(math.prod(shape), tokens * _WIDTH)
        self.time = TimeEmbedding(_WIDTH)
        self.classes = nn.Embedding((facts.classes or 0) + 1, _WIDTH)
        self.blocks = nn.ModuleList(_ReferenceBlock() for _ in range(_DEPTH))

    def embed(self, x_t: Float[Tensor, "N *shape"], condition: Condition) -> Stream:
        """Tokens, each a linear map of the whole sample."""
        del condition  # which the blocks are modulated by
        return Stream(self.tokens(x_t.flatten(1)).unflatten(1, (-1, _WIDTH)))

    def condition(self, t: Float[Tensor, " N"], condition: Condition) -> Float[Tensor, "N D"]:
        """Time and class."""
        null = self.classes.num_embeddings - 1
        labels = (
            torch.full((len(t),), null, device=t.device) if condition.labels is None else condition.labels
        )
        if condition.dropped is not None:
            labels = torch.where(condition.dropped, null, labels)
        embedded: Tensor = self.time(t) + self.classes(labels)
        return embedded

    def run(self, stream: Stream, c: Float[Tensor, "N D"], start: int, stop: int) -> Stream:
        """Blocks start..stop-1."""
        tokens = stream.tokens
        for block in self.blocks[start:stop]:
            tokens = block(tokens, c)
        return stream.with_tokens(tokens)

    def readout(self) -> nn.Module:
        """A zero linear layer from all tokens to a sample."""
        return _Readout(math.prod(self.grid), self._shape)


class _ReferenceBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.modulation = linear(_WIDTH, 2 * _WIDTH)
        self.mlp = MLP([2 * _WIDTH, _WIDTH, _WIDTH])

    def forward(self, tokens: Tensor, c: Tensor) -> Tensor:
        shift, scale = self.modulation(c).chunk(2, dim=-1)
        normed = modulate(layer_norm(tokens), shift, scale)
        mean = normed.mean(dim=1, keepdim=True).expand_as(normed)
        mixed: Tensor = self.mlp(torch.cat([normed, mean], dim=-1))
        return tokens + mixed


class _Readout(nn.Module):
    def __init__(self, tokens: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self._shape = shape
        self.modulation = zero_linear(_WIDTH, _WIDTH)
        self.output = zero_linear(tokens * _WIDTH, math.prod(shape))

    def forward(self, tokens: Tensor, c: Tensor) -> Tensor:
        read = layer_norm(tokens) + self.modulation(c).unsqueeze(1)
        x: Tensor = self.output(read.flatten(1)).unflatten(1, self._shape)
        return x


@attrs.frozen
class ReferenceRefinerConfig:
    """One linear layer a boundary for the tokens and one for the acceleration."""

    def build(self, facts: Facts) -> "ReferenceRefiner":
        """Build it."""
        return ReferenceRefiner(facts)


class ReferenceRefiner(nn.Module):
    """See :class:`ReferenceRefinerConfig`."""

    readouts = ("acceleration",)

    def __init__(self, facts: Facts) -> None:
        super().__init__()
        self.layers = nn.ModuleList(linear(facts.width, 2 * facts.width) for _ in range(facts.branches - 1))

    def forward(self, stream: Stream, boundary: Boundary) -> Refinement:
        """The tokens moved along the acceleration that is read from them."""
        read = self.layers[boundary.number](stream.tokens + boundary.patch_tokens)
        acceleration, change = read.chunk(2, dim=-1)
        moved = stream.tokens + change + boundary.gap[:, None, None] * acceleration
        return Refinement(moved, {"acceleration": acceleration})
