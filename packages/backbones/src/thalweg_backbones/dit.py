"""The diffusion transformer (DiT) with adaLN-Zero blocks, as SiT uses it for flows."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import attrs
import torch
from attrs.validators import and_, ge, gt, in_, le
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.layers import MLP, NORM_EPS, TimeEmbedding, layer_norm, modulate, zero_linear
from thalweg.noise_prediction import NoisePrediction
from thalweg.types import Condition, Stream
from thalweg_backbones.layers import (
    PatchEmbedding,
    Readout,
    SelfAttention,
    class_labels,
    class_table,
    grid_of,
)
from thalweg_backbones.sizes import SizedConfig

_MLP_RATIO = 4
_MOST_STEPS = 100_000


@attrs.frozen
class DiTConfig(SizedConfig):
    """A diffusion transformer: self-attention blocks modulated by time and class (adaLN-Zero).

    Attributes:
        size: a named size, B unless stated. ``width``, ``depth`` and ``heads`` replace its values one by
            one; the config then holds all three and no size, as it is none of the named ones.
        patch: side of a patch in pixels of the latent.
        width: D; a multiple of 4 and of the heads.
        depth: number of blocks.
        heads: attention heads.
        qk_norm: RMS-normalise queries and keys per head, against attention that diverges.
        checkpointing: recompute each block in the backward pass, for memory.
        stored_positions: save the table of positions with the weights; released networks whose averages
            took it along are imported with the table that they have.
        time_scale: what times are multiplied by before they are embedded.
        closed_frequencies: whether the slowest sinusoid of the time has the frequency 1 / 10,000, as in
            diffusers' DiT; in the DiT itself the sequence ends one before it.
        mlp_norm_eps: eps of the normalisation before each MLP.
        betas: the first and last beta of a DDPM. Given them, the last read-out predicts the noise of that
            diffusion, and the network turns it into a velocity; None predicts velocities.
        beta_schedule: how betas rise from the first to the last.
        diffusion_steps: number of the diffusion's steps.
    """

    small: ClassVar[Mapping[str, Any]] = {"width": 32, "heads": 4, "depth": 4, "patch": 2}
    """What checks build beside the defaults."""

    patch: int = attrs.field(default=2, validator=in_((1, 2, 4, 8)))
    qk_norm: bool = False
    checkpointing: bool = False
    stored_positions: bool = False
    time_scale: float = attrs.field(default=1.0, validator=gt(0.0))
    closed_frequencies: bool = False
    mlp_norm_eps: float = attrs.field(default=NORM_EPS, validator=and_(gt(0.0), le(1.0)))
    betas: tuple[float, float] | None = attrs.field(default=None)
    beta_schedule: Literal["linear", "scaled_linear"] = attrs.field(
        default="linear", validator=in_(("linear", "scaled_linear"))
    )
    diffusion_steps: int = attrs.field(default=1000, validator=and_(ge(2), le(_MOST_STEPS)))

    @betas.validator
    def _rises(self, _: object, betas: tuple[float, float] | None) -> None:
        if betas is not None and not (0 < betas[0] <= betas[1] < 1):
            raise ConfigError(f"must rise from the first to the last, both between 0 and 1, got {betas}")

    def build(self, facts: Facts) -> "DiT":
        """Build it for images of ``facts.shape``.

        Raises:
            ConfigError: if the data are no images, the patch does not divide them or the heads the width.
        """
        return DiT(self, facts)


class Block(nn.Module):
    """Attention and MLP, each shifted, scaled and gated by the condition; starts as the identity."""

    def __init__(self, width: int, heads: int, qk_norm: bool, mlp_norm_eps: float = NORM_EPS) -> None:
        super().__init__()
        self._mlp_norm_eps = mlp_norm_eps
        self.modulation = zero_linear(width, 6 * width)
        self.attention = SelfAttention(width, heads, qk_norm)
        self.mlp = MLP([width, _MLP_RATIO * width, width])

    def forward(self, tokens: Float[Tensor, "N T D"], c: Float[Tensor, "N D"]) -> Float[Tensor, "N T D"]:
        """One block."""
        modulation = self.modulation(functional.silu(c)).chunk(6, dim=-1)
        attention_shift, attention_scale, attention_gate, mlp_shift, mlp_scale, mlp_gate = modulation
        attended = self.attention(modulate(layer_norm(tokens), attention_shift, attention_scale))
        tokens = tokens + attention_gate.unsqueeze(1) * attended
        transformed = self.mlp(modulate(layer_norm(tokens, self._mlp_norm_eps), mlp_shift, mlp_scale))
        gated: Tensor = tokens + mlp_gate.unsqueeze(1) * transformed
        return gated


class DiT(nn.Module):
    """See :class:`DiTConfig`. Fulfils :class:`thalweg.protocols.Backbone`."""

    takes_subsets: ClassVar = True

    def __init__(self, config: DiTConfig, facts: Facts) -> None:
        super().__init__()
        size = config.dimensions
        self.width, self.depth, self.heads = size.width, size.depth, size.heads
        self.grid = grid_of("dit", facts.shape, config.patch)
        self._channels, self._patch = facts.shape[0], config.patch
        self._checkpointing = config.checkpointing
        self.patches = PatchEmbedding(
            facts.shape[0], config.patch, self.grid, size.width, config.stored_positions
        )
        self.time = TimeEmbedding(size.width, config.time_scale, config.closed_frequencies)
        self.classes = class_table(facts.classes, size.width)
        self.blocks = nn.ModuleList(
            Block(size.width, size.heads, config.qk_norm, config.mlp_norm_eps) for _ in range(size.depth)
        )
        self.noise = (
            None
            if config.betas is None
            else NoisePrediction(*config.betas, config.diffusion_steps, config.beta_schedule)
        )

    def embed(self, x_t: Float[Tensor, "N C H W"], condition: Condition) -> Stream:  # noqa: ARG002
        """Patch tokens with positions."""
        return Stream(self.patches(x_t))

    def condition(self, t: Float[Tensor, " N"], condition: Condition) -> Float[Tensor, "N D"]:
        """Time embedding plus class embedding; the last row of the class table is the null class."""
        c: Tensor = self.time(t)
        return c if self.classes is None else c + self.classes(class_labels(condition, self.classes, t))

    def run(self, stream: Stream, c: Float[Tensor, "N D"], start: int, stop: int) -> Stream:
        """Blocks start..stop-1."""
        tokens = stream.tokens
        for block in self.blocks[start:stop]:
            if self._checkpointing and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, c, use_reentrant=False)
            else:
                tokens = block(tokens, c)
        return stream.with_tokens(tokens)

    def readout(self) -> nn.Module:
        """A velocity or acceleration layer."""
        return Readout(self._channels, self._patch, self.grid, self.width)
