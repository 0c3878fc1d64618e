"""A small U-ViT: a vision transformer with long skip connections.

Of L blocks the first half hands on its outputs, last in, first out, to the second half, which joins
each with its own tokens by a linear layer (F. Bao et al., All are worth words, 2023):

    h_0 = W patches + E
    h_l = Block_l(h_{l-1})                          l <= L/2
    h_l = Block_l(M_l [h_{l-1}; h_{L-l}])           l > L/2     (a block in the middle of an odd L has none)

Their time and class are tokens; here, where a backbone states a vector c, they shift, scale and gate
(adaLN). M_l starts as (I, 0), which is a network without skips, and the share |M_l's second half| /
|its first half| says how much is read through a skip.

A backbone is run by ranges of its blocks, and whatever a later range needs must travel in the stream,
so the outputs that wait for their second half are the stream's context, one after another.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional

from thalweg.errors import ConfigError
from thalweg.facts import Facts, image_shape
from thalweg.layers import TimeEmbedding
from thalweg.types import Condition, Stream
from thalweg_uvit.layers import Block, Readout


@attrs.frozen
class UViTConfig:
    """A vision transformer with long skip connections.

    Attributes:
        width: of the tokens, a multiple of heads.
        depth: number of blocks.
        heads: of the attention.
        patch: side of a patch, which divides the image's sides.
    """

    small: ClassVar[Mapping[str, Any]] = {"width": 32, "depth": 4, "heads": 4, "patch": 2}
    """What is checked beside the defaults."""

    width: int = attrs.field(default=512, validator=attrs.validators.ge(8))
    depth: int = attrs.field(default=12, validator=attrs.validators.ge(2))
    heads: int = attrs.field(default=8, validator=attrs.validators.ge(1))
    patch: int = attrs.field(default=2, validator=attrs.validators.ge(1))

    def build(self, facts: Facts) -> "UViT":
        """Build it for the data's shape and classes."""
        fix = "take a backbone for data of any shape, such as mlp"
        _, height, width = image_shape(facts.shape, "backbone uvit", fix)
        if height % self.patch or width % self.patch:
            raise ConfigError(
                f"backbone.patch is {self.patch}, which does not divide {height} x {width}; choose a divisor"
            )
        if self.width % self.heads:
            raise ConfigError(
                f"backbone.width is {self.width}, no multiple of heads = {self.heads}; change one"
            )
        return UViT(self, facts)


class UViT(nn.Module):
    """See :class:`UViTConfig`."""

    def __init__(self, config: UViTConfig, facts: Facts) -> None:
        super().__init__()
        channels, height, width = facts.shape
        self.depth, self.width, self.heads = config.depth, config.width, config.heads
        self.grid = (height // config.patch, width // config.patch)
        self._channels, self._patch = channels, config.patch
        self.patches = nn.Conv2d(channels, config.width, config.patch, config.patch)
        self.positions = nn.Parameter(0.02 * torch.randn(self.grid[0] * self.grid[1], config.width))
        self.time = TimeEmbedding(config.width)
        # The last row is the null class: no label, or a hidden one.
        self.classes = nn.Embedding((facts.classes or 0) + 1, config.width)
        nn.init.normal_(self.classes.weight, std=0.02)
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, joins=self._joins(block)) for block in range(config.depth)
        )

    def embed(self, x_t: Tensor, condition: Condition) -> Stream:
        """x_t (N, C, H, W) as tokens (N, T, D)."""
        return Stream(self.patches(x_t).flatten(2).transpose(1, 2) + self.positions)

    def condition(self, t: Tensor, condition: Condition) -> Tensor:
        """c (N, D) of times (N,) and labels."""
        null = self.classes.num_embeddings - 1
        labels = (
            torch.full((len(t),), null, device=t.device) if condition.labels is None else condition.labels
        )
        if condition.dropped is not None:
            labels = torch.where(condition.dropped, null, labels)
        return functional.silu(self.time(t) + self.classes(labels))

    def run(self, stream: Stream, c: Tensor, start: int, stop: int) -> Stream:
        """Blocks start..stop-1; the context (N, waiting T, D) holds outputs that wait for their skip."""
        tokens, waiting = stream.tokens, stream.context
        length = tokens.shape[1]
        for block in range(start, stop):
            skip = None
            if self._joins(block):
                skip, waiting = waiting[:, -length:], waiting[:, :-length]
            tokens = self.blocks[block](tokens, skip, c)
            if block < self.depth // 2:
                waiting = tokens if waiting is None else torch.cat([waiting, tokens], dim=1)
        return Stream(tokens, waiting)

    def readout(self) -> nn.Module:
        """A new layer (tokens, c) -> x, zero at first."""
        return Readout(self.grid, self.width, self._channels, self._patch)

    def shares(self) -> dict[int, tuple[int, float]]:
        """For each block that a skip ends at: the block it comes from, and how much it makes of the input."""
        found = {}
        for block in range(self.depth):
            if self._joins(block):
                own, skipped = self.blocks[block].join.weight.detach().chunk(2, dim=1)
                found[block] = (self.depth - 1 - block, float(skipped.norm() / own.norm()))
        return found

    def _joins(self, block: int) -> bool:
        return block >= self.depth - self.depth // 2
