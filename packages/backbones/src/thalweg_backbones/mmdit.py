"""The multimodal diffusion transformer (MMDiT): image and caption in two streams that attend jointly.

P. Esser et al., Scaling rectified flow transformers for high-resolution image synthesis, 2024, figure 2b.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs
import torch
from attrs.validators import and_, ge, gt, in_, le, optional
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts
from thalweg.layers import MLP, TimeEmbedding, attend, layer_norm, linear, modulate, zero_linear
from thalweg.types import Condition, Stream
from thalweg_backbones.layers import (
    PatchEmbedding,
    Projections,
    Readout,
    SelfAttention,
    class_labels,
    class_table,
    grid_of,
)
from thalweg_backbones.sizes import DEEPEST, MOST_HEADS, WIDEST

_MLP_RATIO = 4


@attrs.frozen
class MMDiTConfig:
    """A transformer of joint blocks: each stream has its own weights, attention runs over both.

    The condition of every block is the time embedding, to which classes add theirs where the data have
    any. The default size is that of REPA's and DeepFlow's text-to-image models.

    Attributes:
        width: D; a multiple of 4 and of the heads.
        depth: number of joint blocks.
        heads: attention heads.
        patch: side of a patch in pixels of the latent.
        qk_norm: RMS-normalise queries and keys per head and stream.
        pooled: add an MLP of the caption's mean token to the condition.
        pooled_width: of captions whose last token is none but holds, in its first numbers, this many, a
            pooled embedding of the whole caption: an MLP of it is added to the condition, and the blocks do
            not see it. So Stable Diffusion 3 takes captions.
        dual_attention: numbers of blocks, from 0, whose image stream attends to itself besides, with weights
            of its own, as in Stable Diffusion 3.5 medium.
        mask_padding: hide the padding of short captions from attention; REPA's models attend to it.
        checkpointing: recompute each block in the backward pass, for memory.
        stored_positions: save the table of positions with the weights; released networks whose averages
            took it along are imported with the table that they have.
        time_scale: what times are multiplied by before they are embedded.
    """

    small: ClassVar[Mapping[str, Any]] = {"width": 32, "heads": 4, "depth": 4, "patch": 2}
    """What checks build beside the defaults."""

    width: int = attrs.field(default=768, validator=and_(ge(4), le(WIDEST)))
    depth: int = attrs.field(default=24, validator=and_(ge(1), le(DEEPEST)))
    heads: int = attrs.field(default=24, validator=and_(ge(1), le(MOST_HEADS)))
    patch: int = attrs.field(default=2, validator=in_((1, 2, 4, 8)))
    qk_norm: bool = False
    pooled: bool = False
    pooled_width: int | None = attrs.field(default=None, validator=optional(and_(ge(1), le(WIDEST))))
    dual_attention: tuple[int, ...] = attrs.field(default=())
    mask_padding: bool = True
    checkpointing: bool = False
    stored_positions: bool = False
    time_scale: float = attrs.field(default=1.0, validator=gt(0.0))

    @pooled_width.validator
    def _one_of_both(self, _: object, width: int | None) -> None:
        if self.pooled and width is not None:
            raise ConfigError("captions bring a pooled embedding of their own; leave pooled out")

    @dual_attention.validator
    def _are_blocks(self, _: object, blocks: tuple[int, ...]) -> None:
        if len(set(blocks)) < len(blocks) or not all(0 <= one < self.depth for one in blocks):
            raise ConfigError(f"must be different numbers from 0 to {self.depth - 1}, got {blocks}")

    @width.validator
    def _divides(self, _: object, width: int) -> None:
        if self.heads >= 1 and (width % self.heads or width % 4):
            raise ConfigError(f"must be a multiple of 4 and of the {self.heads} heads, got {width}")

    def build(self, facts: Facts) -> "MMDiT":
        """Build it for images of ``facts.shape`` and captions of ``facts.text``.

        Raises:
            ConfigError: if the data have no captions or are no images, or the patch does not divide them.
        """
        return MMDiT(self, facts)


class StreamLayers(nn.Module):
    """One stream's half of a joint block; of ``dual`` ones, with a second attention to itself alone."""

    def __init__(self, width: int, heads: int, qk_norm: bool, dual: bool = False) -> None:
        super().__init__()
        self.modulation = zero_linear(width, (9 if dual else 6) * width)
        self.projections = Projections(width, heads, qk_norm)
        self.out = linear(width, width)
        self.mlp = MLP([width, _MLP_RATIO * width, width])
        self.dual = SelfAttention(width, heads, qk_norm) if dual else None

    def after(
        self,
        tokens: Float[Tensor, "N T D"],
        attended: Float[Tensor, "N T D"],
        modulation: tuple[Tensor, ...],
    ) -> Float[Tensor, "N T D"]:
        """What the stream makes of what it saw."""
        gate, mlp_shift, mlp_scale, mlp_gate, *dual = modulation
        before = tokens
        tokens = tokens + gate.unsqueeze(1) * self.out(attended)
        if self.dual is not None:
            dual_shift, dual_scale, dual_gate = dual
            itself = self.dual(modulate(layer_norm(before), dual_shift, dual_scale))
            tokens = tokens + dual_gate.unsqueeze(1) * itself
        transformed = self.mlp(modulate(layer_norm(tokens), mlp_shift, mlp_scale))
        gated: Tensor = tokens + mlp_gate.unsqueeze(1) * transformed
        return gated


class ReadOnlyLayers(nn.Module):
    """The context's half of the last block: it is looked at and goes no further."""

    def __init__(self, width: int, heads: int, qk_norm: bool) -> None:
        super().__init__()
        self.modulation = zero_linear(width, 2 * width)
        self.projections = Projections(width, heads, qk_norm)
        # Nobody reads what its queries find, so their norm would never be trained.
        self.projections.q_norm = None


class JointBlock(nn.Module):
    """Both streams, each with its own adaLN-Zero, in one attention, the context first."""

    def __init__(self, width: int, heads: int, qk_norm: bool, last: bool, dual: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.image = StreamLayers(width, heads, qk_norm, dual)
        self.context: StreamLayers | ReadOnlyLayers
        self.context = (ReadOnlyLayers if last else StreamLayers)(width, heads, qk_norm)

    def forward(
        self,
        tokens: Float[Tensor, "N T D"],
        context: Float[Tensor, "N L D"],
        mask: Bool[Tensor, "N S"] | None,
        c: Float[Tensor, "N D"],
    ) -> tuple[Float[Tensor, "N T D"], Float[Tensor, "N L D"] | None]:
        """One block; the last one returns no context.

        Args:
            tokens: of the image.
            context: of the caption.
            mask: which of both streams' L + T tokens may be looked at; None for all.
            c: the condition.
        """
        activated = functional.silu(c)
        image_parts = self.image.modulation(activated).unflatten(-1, (-1, c.shape[-1])).unbind(-2)
        shift, scale, *image_rest = image_parts
        context_parts = self.context.modulation(activated).unflatten(-1, (-1, c.shape[-1])).unbind(-2)
        image_qkv = self.image.projections.project(modulate(layer_norm(tokens), shift, scale))
        context_qkv = self.context.projections.project(modulate(layer_norm(context), *context_parts[:2]))
        q, k, v = (torch.cat(pair, dim=1) for pair in zip(context_qkv, image_qkv, strict=True))
        attended = attend(q, k, v, self.heads, mask)
        context_seen, image_seen = attended.split([context.shape[1], tokens.shape[1]], dim=1)
        tokens = self.image.after(tokens, image_seen, tuple(image_rest))
        if isinstance(self.context, ReadOnlyLayers):
            return tokens, None
        return tokens, self.context.after(context, context_seen, context_parts[2:])


class MMDiT(nn.Module):
    """See :class:`MMDiTConfig`. Fulfils :class:`thalweg.protocols.Backbone`."""

    takes_subsets: ClassVar = True

    def __init__(self, config: MMDiTConfig, facts: Facts) -> None:
        super().__init__()
        if facts.text is None:
            raise ConfigError(
                "backbone mmdit reads captions and the data have none; use data with captions or backbone dit"
            )
        self.width, self.depth, self.heads = config.width, config.depth, config.heads
        self.grid = grid_of("mmdit", facts.shape, config.patch)
        self._channels, self._patch = facts.shape[0], config.patch
        self._checkpointing, self._mask_padding = config.checkpointing, config.mask_padding
        self.patches = PatchEmbedding(
            facts.shape[0], config.patch, self.grid, config.width, config.stored_positions
        )
        self.time = TimeEmbedding(config.width, config.time_scale)
        self.classes = class_table(facts.classes, config.width)
        self.context = linear(facts.text[1], config.width)
        self._pooled_width = config.pooled_width
        _check_pooled(config.pooled_width, facts.text)
        pooled = facts.text[1] if config.pooled else config.pooled_width
        self.pooled = None if pooled is None else MLP([pooled, config.width, config.width], "silu")
        self.blocks = nn.ModuleList(
            JointBlock(
                config.width,
                config.heads,
                config.qk_norm,
                last=index == config.depth - 1,
                dual=index in config.dual_attention,
            )
            for index in range(config.depth)
        )

    def embed(self, x_t: Float[Tensor, "N C H W"], condition: Condition) -> Stream:
        """Patch tokens with positions, and the caption's tokens.

        Raises:
            DataError: if there are no captions; a hidden one is given with ``dropped``.
        """
        caption_NLE, mask_NL = _shown(condition)
        if self._pooled_width is not None:
            caption_NLE, mask_NL = caption_NLE[:, :-1], mask_NL[:, :-1]
        return Stream(self.patches(x_t), self.context(caption_NLE.to(x_t.dtype)), mask_NL)

    def condition(self, t: Float[Tensor, " N"], condition: Condition) -> Float[Tensor, "N D"]:
        """Time embedding, plus the class's and the pooled caption's where there are such."""
        c: Tensor = self.time(t)
        if self.classes is not None:
            c = c + self.classes(class_labels(condition, self.classes, t))
        if self.pooled is not None:
            caption_NLE, mask_NL = _shown(condition)
            if self._pooled_width is not None:
                pooled_NE = caption_NLE[:, -1, : self._pooled_width].to(c.dtype)
            else:
                weight_NL1 = mask_NL.unsqueeze(-1).to(c.dtype)
                pooled_NE = (caption_NLE.to(c.dtype) * weight_NL1).sum(1) / weight_NL1.sum(1).clamp_min(1)
            c = c + self.pooled(pooled_NE)
        return c

    def run(self, stream: Stream, c: Float[Tensor, "N D"], start: int, stop: int) -> Stream:
        """Blocks start..stop-1."""
        tokens, context, mask_NL = stream.tokens, stream.context, stream.context_mask
        mask_NS = None
        if self._mask_padding and mask_NL is not None:
            everywhere_NT = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
            mask_NS = torch.cat([mask_NL, everywhere_NT], dim=1)
        for block in self.blocks[start:stop]:
            if self._checkpointing and torch.is_grad_enabled():
                tokens, context = checkpoint(block, tokens, context, mask_NS, c, use_reentrant=False)
            else:
                tokens, context = block(tokens, context, mask_NS, c)
        return stream._replace(tokens=tokens, context=context)

    def readout(self) -> nn.Module:
        """A velocity or acceleration layer."""
        return Readout(self._channels, self._patch, self.grid, self.width)


def _check_pooled(width: int | None, text: tuple[int, int]) -> None:
    """A caption has room for its pooled embedding, and a token besides.

    Raises:
        ConfigError: if it has not.
    """
    if width is not None and (text[0] < 2 or width > text[1]):
        raise ConfigError(
            f"backbone.pooled_width is {width}, and captions are {text[0]} tokens of {text[1]}; the last of "
            "at least two holds the pooled embedding, so it must be as wide"
        )


def _shown(condition: Condition) -> tuple[Float[Tensor, "N L E"], Bool[Tensor, "N L"]]:
    """Tokens and mask of each caption, of the empty caption where it is hidden."""
    text = condition.text
    if text is None:
        raise DataError(
            "backbone mmdit was given no captions; hand them over with the condition, and hide them with "
            "condition.null() where there should be none"
        )
    if condition.dropped is None:
        return text.tokens, text.mask
    hidden_N11 = condition.dropped[:, None, None]
    return (
        torch.where(hidden_N11, text.empty_tokens.to(text.tokens.dtype), text.tokens),
        torch.where(hidden_N11[..., 0], text.empty_mask, text.mask),
    )
