"""A residual MLP for data of any shape: points, vectors, small grids."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import attrs
from attrs.validators import and_, ge, le
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from thalweg.facts import Facts
from thalweg.layers import MLP, TimeEmbedding, layer_norm, modulate, zero_linear
from thalweg.types import Condition, Stream
from thalweg_backbones.layers import class_labels, class_table
from thalweg_backbones.sizes import DEEPEST, WIDEST

_MLP_RATIO = 4


@attrs.frozen
class MLPConfig:
    """A residual MLP on data of any shape, flattened to one token; blocks are modulated as a DiT's.

    Attributes:
        width: D.
        depth: number of blocks.
    """

    small: ClassVar[Mapping[str, Any]] = {"width": 32, "depth": 4}
    """What checks build beside the defaults."""

    width: int = attrs.field(default=256, validator=and_(ge(1), le(WIDEST)))
    depth: int = attrs.field(default=6, validator=and_(ge(1), le(DEEPEST)))

    def build(self, facts: Facts) -> "MLPBackbone":
        """Build it for data of ``facts.shape``."""
        return MLPBackbone(self, facts)


class ResidualBlock(nn.Module):
    """An MLP, shifted, scaled and gated by the condition; starts as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.modulation = zero_linear(width, 3 * width)
        self.mlp = MLP([width, _MLP_RATIO * width, width])

    def forward(self, tokens: Float[Tensor, "N T D"], c: Float[Tensor, "N D"]) -> Float[Tensor, "N T D"]:
        """One block."""
        shift, scale, gate = self.modulation(functional.silu(c)).chunk(3, dim=-1)
        transformed = self.mlp(modulate(layer_norm(tokens), shift, scale))
        gated: Tensor = tokens + gate.unsqueeze(1) * transformed
        return gated


class FlatReadout(nn.Module):
    """From the token back to the data's shape: adaLN, then a linear layer; starts at zero."""

    def __init__(self, shape: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.shape = shape
        self.modulation = zero_linear(width, 2 * width)
        self.projection = zero_linear(width, math.prod(shape))

    def forward(self, tokens: Float[Tensor, "N T D"], c: Float[Tensor, "N D"]) -> Float[Tensor, "N *shape"]:
        """Read what the token stands for."""
        shift, scale = self.modulation(functional.silu(c)).chunk(2, dim=-1)
        flat: Tensor = self.projection(modulate(layer_norm(tokens), shift, scale))
        x: Tensor = flat.flatten(1).unflatten(1, self.shape)
        return x


class MLPBackbone(nn.Module):
    """See :class:`MLPConfig`. Fulfils :class:`thalweg.protocols.Backbone`."""

    heads = 1
    grid = (1, 1)

    def __init__(self, config: MLPConfig, facts: Facts) -> None:
        super().__init__()
        self.width, self.depth = config.width, config.depth
        self._shape = facts.shape
        # Two layers: normed, a single one without bias would give blocks the direction of x and not its size.
        self.embedding = MLP([math.prod(facts.shape), config.width, config.width], "silu")
        self.time = TimeEmbedding(config.width)
        self.classes = class_table(facts.classes, config.width)
        self.blocks = nn.ModuleList(ResidualBlock(config.width) for _ in range(config.depth))

    def embed(self, x_t: Float[Tensor, "N *shape"], condition: Condition) -> Stream:  # noqa: ARG002
        """All of a sample as one token."""
        return Stream(self.embedding(x_t.flatten(1)).unsqueeze(1))

    def condition(self, t: Float[Tensor, " N"], condition: Condition) -> Float[Tensor, "N D"]:
        """Time embedding plus class embedding; the last row of the class table is the null class."""
        c: Tensor = self.time(t)
        return c if self.classes is None else c + self.classes(class_labels(condition, self.classes, t))

    def run(self, stream: Stream, c: Float[Tensor, "N D"], start: int, stop: int) -> Stream:
        """Blocks start..stop-1."""
        tokens = stream.tokens
        for block in self.blocks[start:stop]:
            tokens = block(tokens, c)
        return Stream(tokens)

    def readout(self) -> nn.Module:
        """A velocity layer, or one for what a refiner feeds."""
        return FlatReadout(self._shape, self.width)
