"""LightningDiT: a diffusion transformer with rotary positions, RMSNorm and SwiGLU, and what came after it.

J. Yao et al., Reconstruction vs. generation: taming optimization dilemma in latent diffusion models, 2025.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import attrs
import torch
from attrs.validators import and_, ge, in_, le, optional
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.layers import TimeEmbedding, linear
from thalweg.types import Condition, Stream
from thalweg_backbones.layers import PatchEmbedding, class_labels, class_table, grid_of
from thalweg_backbones.lightning_block import LightningBlock
from thalweg_backbones.lightning_readouts import NormedReadout, WideReadout
from thalweg_backbones.rotary import Rotary
from thalweg_backbones.sizes import DEEPEST, WIDEST, SizedConfig

_MOST_CONTEXT = 1_024


@attrs.frozen
class LightningDiTConfig(SizedConfig):
    """A diffusion transformer with 2-D rotary positions, RMSNorm and SwiGLU.

    Attributes:
        size: a named size, B unless stated. ``width``, ``depth`` and ``heads`` replace its values one by
            one; the config then holds all three and no size, as it is none of the named ones.
        width: D; a multiple of 4 times the heads.
        depth: number of blocks.
        heads: attention heads.
        patch: side of a patch in pixels of the latent.
        qk_norm: RMS-normalise queries and keys per head, against attention that diverges.
        conditioning: how time and class reach the blocks: ``adaln`` shifts, scales and gates them;
            ``context`` lets the image's tokens attend to tokens of time and class; ``both`` does both. The
            read-outs are modulated in any case.
        class_tokens: tokens of the class in the context, beside the one of the time.
        value_residual: mix the values of each block with those of the first one, by two learned weights that
            start at 1/2 (ResFormer, 2024).
        head_width: width of a wide head, with which each read-out is a shallow transformer on the noisy image
            (RAE, 2025); none for a linear layer. A multiple of 4 times the heads.
        head_depth: blocks of a wide head.
        checkpointing: recompute each block in the backward pass, for memory.
        stored_positions: save the table of absolute positions with the weights; released networks whose
            averages took it along are imported with the table that they have.
    """

    small: ClassVar[Mapping[str, Any]] = {"width": 32, "heads": 4, "depth": 4, "patch": 2}
    """What checks build beside the defaults."""

    patch: int = attrs.field(default=1, validator=in_((1, 2, 4, 8)))
    qk_norm: bool = True
    conditioning: Literal["adaln", "context", "both"] = attrs.field(
        default="adaln", validator=in_(("adaln", "context", "both"))
    )
    class_tokens: int = attrs.field(default=1, validator=and_(ge(1), le(_MOST_CONTEXT)))
    value_residual: bool = False
    head_width: int | None = attrs.field(default=None, validator=optional(and_(ge(4), le(WIDEST))))
    head_depth: int = attrs.field(default=2, validator=and_(ge(1), le(DEEPEST)))
    checkpointing: bool = False
    stored_positions: bool = False

    @class_tokens.validator
    def _has_context(self, _: object, class_tokens: int) -> None:
        if class_tokens != 1 and self.conditioning == "adaln":
            raise ConfigError(
                f"{class_tokens} tokens of the class have no place without a context; set conditioning to "
                "'context' or 'both'"
            )

    @head_width.validator
    def _fits(self, _: object, head_width: int | None) -> None:
        heads = self._stated.heads
        if head_width is not None and head_width % (4 * heads):
            raise ConfigError(f"must be a multiple of {4 * heads}, 4 times the {heads} heads")

    def build(self, facts: Facts) -> "LightningDiT":
        """Build it for images of ``facts.shape``.

        Raises:
            ConfigError: if the data are no images, the patch does not divide them or 4 times the heads the
                width.
        """
        return LightningDiT(self, facts)


class LightningDiT(nn.Module):
    """See :class:`LightningDiTConfig`. Fulfils :class:`thalweg.protocols.Backbone`.

    The context's first token stands for the time: a learned vector plus W c, c the condition at the branch's
    time. It enters the residual stream once, as a token that is put in front does. Between blocks it is kept
    without W c, so that a branch at another time continues with its own.
    """

    takes_subsets: ClassVar = True

    def __init__(self, config: LightningDiTConfig, facts: Facts) -> None:
        super().__init__()
        size = config.dimensions
        self.width, self.depth, self.heads = size.width, size.depth, size.heads
        self.grid = grid_of("lightningdit", facts.shape, config.patch)
        self._config, self._channels = config, facts.shape[0]
        self.patches = PatchEmbedding(
            facts.shape[0], config.patch, self.grid, size.width, config.stored_positions
        )
        self.rotary = Rotary(self.grid, size.width // size.heads)
        self.time = TimeEmbedding(size.width)
        self.classes = class_table(facts.classes, size.width)
        self.context: nn.Parameter | None = None
        if config.conditioning != "adaln":
            length = 1 + (0 if self.classes is None else config.class_tokens)
            self.context = nn.Parameter(0.02 * torch.randn(length, size.width))
            self.context_time = linear(size.width, size.width)
        self.blocks = nn.ModuleList(
            LightningBlock(
                size.width,
                size.heads,
                config.qk_norm,
                modulated=config.conditioning != "context",
                mixed=config.value_residual and index > 0,
            )
            for index in range(size.depth)
        )

    def embed(self, x_t: Float[Tensor, "N C H W"], condition: Condition) -> Stream:
        """Patch tokens with positions, and the context's, if there is one."""
        tokens: Tensor = self.patches(x_t)
        if self.context is None:
            return Stream(tokens)
        context_NLD = self.context.expand(len(x_t), -1, -1)
        if self.classes is not None:
            class_ND = self.classes(class_labels(condition, self.classes, x_t[:, 0, 0, 0]))
            told_NLD = class_ND.unsqueeze(1).expand(-1, context_NLD.shape[1] - 1, -1)
            context_NLD = context_NLD + functional.pad(told_NLD, (0, 0, 1, 0))
        return Stream(tokens, context_NLD)

    def condition(self, t: Float[Tensor, " N"], condition: Condition) -> Float[Tensor, "N D"]:
        """Time embedding plus class embedding; the last row of the class table is the null class."""
        c: Tensor = self.time(t)
        return c if self.classes is None else c + self.classes(class_labels(condition, self.classes, t))

    def run(self, stream: Stream, c: Float[Tensor, "N D"], start: int, stop: int) -> Stream:
        """Blocks start..stop-1."""
        tokens, context, first = stream.tokens, stream.context, stream.values
        length = 0 if context is None else context.shape[1]
        rotation: tuple[Tensor, Tensor] = self.rotary(stream.places, length)
        time_NLD = self._time_token(c, length) if length and start < stop else 0.0
        for block in self.blocks[start:stop]:
            x = tokens if context is None else torch.cat([context + time_NLD, tokens], dim=1)
            if self._config.checkpointing and torch.is_grad_enabled():
                x, values = checkpoint(block, x, c, rotation, first, use_reentrant=False)
            else:
                x, values = block(x, c, rotation, first)
            first = values if self._config.value_residual else None
            tokens = x[:, length:]
            context = None if context is None else x[:, :length] - time_NLD
        return stream._replace(tokens=tokens, context=context, values=first)

    def _time_token(self, c: Float[Tensor, "N D"], length: int) -> Float[Tensor, "N L D"]:
        """What the condition adds to a context of this length: W c to its first token."""
        told: Tensor = self.context_time(c).unsqueeze(1).to(c.dtype)
        return functional.pad(told, (0, 0, 0, length - 1))

    def readout(self) -> nn.Module:
        """A velocity or acceleration layer."""
        config = self._config
        place = (self._channels, config.patch, self.grid, self.width)
        if config.head_width is None:
            return NormedReadout(*place)
        return WideReadout(*place, config.head_width, config.head_depth, self.heads, config.qk_norm)
