"""The block of LightningDiT: RMSNorm, rotary attention, SwiGLU, adaLN-Zero.

J. Yao et al., Reconstruction vs. generation: taming optimization dilemma in latent diffusion models, 2025.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from thalweg.layers import NORM_EPS, attend, linear, zero_linear
from thalweg_backbones.layers import Projections
from thalweg_backbones.rotary import rotate


class TokenNorm(nn.RMSNorm):
    """x / sqrt(mean x^2 + 1e-6), times a weight for each channel that starts at 1.

    Computed in the weight's type under autocast too: the mixed form has no fused kernel.

    Args:
        width: of the last axis.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=NORM_EPS)

    def forward(self, x: Float[Tensor, "*shape D"]) -> Float[Tensor, "*shape D"]:
        """Normalise the last axis."""
        return super().forward(x.to(self.weight.dtype))


def swiglu_width(width: int) -> int:
    """Hidden width of a SwiGLU with about as many weights as an MLP of four times the width: 2/3 of that."""
    return 8 * width // 3


class SwiGLU(nn.Module):
    """W_3 (silu(W_1 x) * W_2 x) (N. Shazeer, GLU variants improve transformer, 2020).

    Args:
        width: of input and output.
        hidden: between them.
        zero: let the output start at zero.
    """

    def __init__(self, width: int, hidden: int, zero: bool = False) -> None:
        super().__init__()
        self.gate_and_value = linear(width, 2 * hidden)
        self.out = zero_linear(hidden, width) if zero else linear(hidden, width)

    def forward(self, x: Float[Tensor, "*shape D"]) -> Float[Tensor, "*shape D"]:
        """Apply it."""
        gate, value = self.gate_and_value(x).chunk(2, dim=-1)
        out: Tensor = self.out(functional.silu(gate) * value)
        return out


class RotaryAttention(Projections):
    """Self-attention whose queries and keys turn with their places.

    Args:
        width: D.
        heads: attention heads.
        qk_norm: RMS-normalise queries and keys per head, before they turn.
        mixed: mix the values with those of the first block.
        zero: let the output start at zero.
    """

    def __init__(self, width: int, heads: int, qk_norm: bool, mixed: bool, zero: bool) -> None:
        super().__init__(width, heads, qk_norm)
        self.out = zero_linear(width, width) if zero else linear(width, width)
        self.mixing = nn.Parameter(torch.full((2,), 0.5)) if mixed else None

    def forward(
        self, x: Float[Tensor, "N S D"], rotation: tuple[Tensor, Tensor], first: Float[Tensor, "N S D"] | None
    ) -> tuple[Float[Tensor, "N S D"], Float[Tensor, "N S D"]]:
        """What every token sees, and its values before they are mixed.

        Args:
            x: normed tokens.
            rotation: cosines and sines of their places.
            first: values of the first block; None in that block itself.
        """
        q, k, own = self.project(x)
        q, k = (rotate(one, *rotation, self.heads) for one in (q, k))
        v = own
        if self.mixing is not None and first is not None:
            v = self.mixing[0] * own + self.mixing[1] * first.to(own.dtype)
        attended: Tensor = self.out(attend(q, k, v, self.heads))
        return attended, own


class LightningBlock(nn.Module):
    """Attention and SwiGLU, each behind an RMSNorm.

    Args:
        width: D.
        heads: attention heads.
        qk_norm: RMS-normalise queries and keys per head.
        modulated: shift, scale and gate both by the condition (adaLN-Zero). Without, their last layers start
            at zero. In either case the block starts as the identity.
        mixed: mix the values with those of the first block.
    """

    def __init__(self, width: int, heads: int, qk_norm: bool, modulated: bool, mixed: bool) -> None:
        super().__init__()
        self.modulation = zero_linear(width, 6 * width) if modulated else None
        self.attention_norm = TokenNorm(width)
        self.attention = RotaryAttention(width, heads, qk_norm, mixed, zero=not modulated)
        self.mlp_norm = TokenNorm(width)
        self.mlp = SwiGLU(width, swiglu_width(width), zero=not modulated)

    def forward(
        self,
        x: Float[Tensor, "N S D"],
        c: Float[Tensor, "N D"] | Float[Tensor, "N S D"],
        rotation: tuple[Tensor, Tensor],
        first: Float[Tensor, "N S D"] | None = None,
    ) -> tuple[Float[Tensor, "N S D"], Float[Tensor, "N S D"]]:
        """One block.

        Args:
            x: tokens.
            c: the condition of each sample, or of each token.
            rotation: cosines and sines of the tokens' places.
            first: values of the first block, where they are mixed in.

        Returns:
            Tokens, and the values of the first block, which are this one's where none were given.
        """
        if self.modulation is None:
            attended, own = self.attention(self.attention_norm(x), rotation, first)
            x = x + attended
            x = x + self.mlp(self.mlp_norm(x))
        else:
            modulation = self.modulation(functional.silu(per_token(c))).chunk(6, dim=-1)
            shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = modulation
            attended, own = self.attention(shifted(self.attention_norm(x), shift, scale), rotation, first)
            x = x + gate * attended
            x = x + mlp_gate * self.mlp(shifted(self.mlp_norm(x), mlp_shift, mlp_scale))
        return x, own if first is None else first


def per_token(c: Tensor) -> Float[Tensor, "N S D"]:
    """A condition with an axis for the tokens: of length 1 if it is the same for all of them."""
    return c if c.dim() == 3 else c.unsqueeze(1)


def shifted(
    x: Float[Tensor, "N S D"], shift: Float[Tensor, "N #S D"], scale: Float[Tensor, "N #S D"]
) -> Float[Tensor, "N S D"]:
    """``x (1 + scale) + shift``; both may be the same for all tokens."""
    return x * (1 + scale) + shift
