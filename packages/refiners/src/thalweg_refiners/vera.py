"""VeRA, the velocity refiner with acceleration (DeepFlow, section 3.2.2)."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import attrs
import torch
from attrs.validators import and_, deep_iterable, ge, gt, le, max_len, min_len, optional
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from thalweg.facts import Facts
from thalweg.layers import MLP, TimeEmbedding, attend, layer_norm, linear, modulate, zero_linear
from thalweg.types import Boundary, Refinement, Stream


@attrs.frozen
class VeRAConfig:
    """The velocity refiner with acceleration: acceleration MLP, time gap, cross-space attention.

    The rungs of the paper's table 7a: both switches off conditions on the time gap alone,
    ``acceleration`` adds the acceleration features, ``cross_attention`` the patch tokens.

    Attributes:
        acceleration: make acceleration features (equation 6) and refine both together.
        cross_attention: let the patch tokens look at the refined ones (equation 9).
        channels: hidden widths of the acceleration MLP; scale them down with the backbone.
        clamp_scale: bound of the time gap's scale, 5 in models released with alignment; none if unset.
        residual: next tokens = tokens + gate * refined with a gate per channel that starts at zero,
            so that training starts as plain deep supervision. Not in the paper.
    """

    small: ClassVar[Mapping[str, Any]] = {"channels": [16, 24]}
    """What checks build beside the defaults."""

    acceleration: bool = True
    cross_attention: bool = True
    channels: tuple[int, ...] = attrs.field(
        default=(2048, 4096, 2048),
        validator=[min_len(1), max_len(64), deep_iterable(and_(ge(1), le(65_536)))],
    )
    clamp_scale: float | None = attrs.field(default=None, validator=optional(gt(0)))
    residual: bool = False

    def build(self, facts: Facts) -> "VeRA":
        """Build a block for each of the ``facts.branches - 1`` boundaries."""
        return VeRA(self, facts)


class CrossSpaceAttention(nn.Module):
    """Patch tokens look at refined velocity tokens (equation 9); one affine norm for both.

    Queries, keys and values start as one Xavier-uniform matrix of 3 D x D, as torch.nn.MultiheadAttention
    and the published models draw them: with Var = 2 / (D + 3 D), not as matrices of their own.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.q = linear(width, width)
        self.kv = linear(width, 2 * width)
        self.out = linear(width, width)
        bound = math.sqrt(6 / (width + 3 * width))
        for projection in (self.q, self.kv):
            nn.init.uniform_(projection.weight, -bound, bound)

    def forward(
        self, patch_tokens: Float[Tensor, "N T D"], refined: Float[Tensor, "N T D"]
    ) -> Float[Tensor, "N T D"]:
        """Normed patch tokens plus what they see."""
        queries: Tensor = self.norm(patch_tokens)
        k, v = self.kv(self.norm(refined)).chunk(2, dim=-1)
        seen: Tensor = self.out(attend(self.q(queries), k, v, self.heads))
        return queries + seen


class VeRABlock(nn.Module):
    """What stands at one boundary."""

    def __init__(self, config: VeRAConfig, width: int, heads: int) -> None:
        super().__init__()
        joined = 2 * width if config.acceleration else width
        self._clamp = config.clamp_scale
        self.acceleration = MLP([width, *config.channels, width], "silu") if config.acceleration else None
        self.modulation = zero_linear(joined, 2 * joined)
        self.mlp = MLP([joined, joined, width])
        self.attention = CrossSpaceAttention(width, heads) if config.cross_attention else None
        self.gate = nn.Parameter(torch.zeros(width)) if config.residual else None

    def forward(
        self,
        tokens: Float[Tensor, "N T D"],
        patch_tokens: Float[Tensor, "N T D"],
        gap_embedding: Float[Tensor, "N joined"],
    ) -> tuple[Float[Tensor, "N T D"], Float[Tensor, "N T D"] | None]:
        """The next branch's tokens and the acceleration features."""
        features, joined = None, tokens
        if self.acceleration is not None:
            features = self.acceleration(tokens)
            joined = torch.cat([tokens, features], dim=-1)
        shift, scale = self.modulation(functional.silu(gap_embedding)).chunk(2, dim=-1)
        if self._clamp is not None:
            scale = scale.clamp(-self._clamp, self._clamp)
        refined = self.mlp(modulate(layer_norm(joined), shift, scale))
        if self.attention is not None:
            refined = self.attention(patch_tokens, refined)
        if self.gate is not None:
            refined = tokens + self.gate * refined
        return refined, features


class VeRA(nn.Module):
    """See :class:`VeRAConfig`. Fulfils :class:`thalweg.protocols.Refiner`."""

    def __init__(self, config: VeRAConfig, facts: Facts) -> None:
        super().__init__()
        self.readouts = ("acceleration",) if config.acceleration else ()
        # One embedder serves all boundaries; its width is that of what it modulates.
        self.time_gap = TimeEmbedding(2 * facts.width if config.acceleration else facts.width)
        self.blocks = nn.ModuleList(
            VeRABlock(config, facts.width, facts.heads) for _ in range(facts.branches - 1)
        )

    def forward(self, stream: Stream, boundary: Boundary) -> Refinement:
        """Refine the velocity tokens of the branch that ended for the next one."""
        block = self.blocks[boundary.number]
        refined, features = block(stream.tokens, boundary.patch_tokens, self.time_gap(boundary.gap))
        return Refinement(refined, {} if features is None else {"acceleration": features})
