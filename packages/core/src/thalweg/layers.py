"""Layers that backbones and refiners share, so that siblings need not import each other.

Initialisation follows DiT: Xavier-uniform linear layers with zero bias, N(0, 0.02) for embedders,
zero where a layer must start as nothing.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

NORM_EPS = 1e-6
_SINUSOIDS = 256
_MAX_PERIOD = 10_000.0
_LONGEST_EXPLICIT = 1024


def linear(inputs: int, outputs: int) -> nn.Linear:
    """A Xavier-uniform linear layer with zero bias."""
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def zero_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer that starts at zero: modulations and read-outs."""
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def layer_norm(x: Float[Tensor, "*shape D"], eps: float = NORM_EPS) -> Float[Tensor, "*shape D"]:
    """LayerNorm over the last axis without affine parameters."""
    return functional.layer_norm(x, x.shape[-1:], eps=eps)


def modulate(
    x: Float[Tensor, "N T D"], shift: Float[Tensor, "N D"], scale: Float[Tensor, "N D"]
) -> Float[Tensor, "N T D"]:
    """``x (1 + scale) + shift``, the same for every token of a sample (adaLN)."""
    return x * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1)


def gelu(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """GELU in its tanh form, x (1 + tanh z) / 2 with z = sqrt(2 / pi) (x + 0.044715 x^3)."""
    if torch.compiler.is_compiling():
        # (1 + tanh z) / 2 = sigmoid(2 z), whose exponential vectorises twice as fast as the tanh.
        return x * torch.sigmoid(math.sqrt(8 / math.pi) * (x + 0.044715 * x * x * x))
    return functional.gelu(x, approximate="tanh")


def read(
    layer: Any,
    tokens: Float[Tensor, "N T D"],
    c: Float[Tensor, "N D"],
    x_t: Float[Tensor, "N *shape"],
) -> Float[Tensor, "N *shape"]:
    """What a read-out makes of tokens; one that states ``reads_noisy = True`` is given the noisy data too.

    Args:
        layer: the read-out of a backbone.
        tokens: what it reads.
        c: the condition of the branch.
        x_t: the network's input.
    """
    out: Tensor = layer(tokens, c, x_t) if getattr(layer, "reads_noisy", False) else layer(tokens, c)
    return out


class MLP(nn.Module):
    """Linear layers through ``widths`` with an activation between them.

    Args:
        widths: input, hidden and output widths.
        activation: ``gelu`` (tanh form) or ``silu``.
    """

    def __init__(self, widths: Sequence[int], activation: str = "gelu") -> None:
        super().__init__()
        self.layers = nn.ModuleList(linear(a, b) for a, b in pairwise(widths))
        self._gelu = activation == "gelu"

    def forward(self, x: Float[Tensor, "*shape inputs"]) -> Float[Tensor, "*shape outputs"]:
        """Apply the layers."""
        for index, layer in enumerate(self.layers):
            if index:
                x = gelu(x) if self._gelu else functional.silu(x)
            x = layer(x)
        return x


class TokenConvolution(nn.Module):
    """A 3 x 3 convolution on the grid that tokens lie on row by row, with zeros around it.

    Args:
        inputs: width of the tokens.
        outputs: width of what they become.
        grid: tokens per column and per row.
    """

    def __init__(self, inputs: int, outputs: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self._grid = grid
        self.convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
        nn.init.xavier_uniform_(self.convolution.weight)
        nn.init.zeros_(self.convolution.bias)  # type: ignore[arg-type]

    def forward(self, tokens: Float[Tensor, "N T inputs"]) -> Float[Tensor, "N T outputs"]:
        """Apply it."""
        found: Tensor = self.convolution(tokens.transpose(1, 2).unflatten(2, self._grid))
        return found.flatten(2).transpose(1, 2)


def time_frequencies(closed: bool = False) -> Float[Tensor, " 128"]:
    """The frequencies of a time embedding's sinusoids: 10,000^(-i / 128), or / 127 if ``closed``."""
    half = _SINUSOIDS // 2
    exponents = -math.log(_MAX_PERIOD) * torch.arange(half, dtype=torch.float32)
    return torch.exp(exponents / (half - closed))


class TimeEmbedding(nn.Module):
    """256 sinusoids of t (cosines first, max period 10,000), then Linear, SiLU, Linear.

    Computed in float32 under autocast too: bfloat16 cannot resolve a difference of 0.004 in time.

    Args:
        width: width of the embedding.
        scale: what times are multiplied by before.
        closed: whether the slowest sinusoid has the frequency 1 / 10,000, as in diffusers' DiT; in the DiT
            itself the geometric sequence ends one before it.
    """

    frequencies: Tensor

    def __init__(self, width: int, scale: float = 1.0, closed: bool = False) -> None:
        super().__init__()
        self._scale = scale
        self.register_buffer("frequencies", time_frequencies(closed), persistent=False)
        self.mlp = MLP([_SINUSOIDS, width, width], "silu")
        for layer in self.mlp.layers:
            nn.init.normal_(layer.weight, std=0.02)  # type: ignore[arg-type]

    def forward(self, t: Float[Tensor, " N"]) -> Float[Tensor, "N D"]:
        """Embed times (or time gaps)."""
        with _full_precision(t.device.type):
            angles = (self._scale * t.to(self.frequencies.dtype))[:, None] * self.frequencies
            embedded: Tensor = self.mlp(torch.cat([angles.cos(), angles.sin()], dim=-1))
        return embedded


def _full_precision(device_type: str) -> AbstractContextManager[object]:
    # The meta device knows no autocast.
    if not torch.amp.is_autocast_available(device_type):
        return nullcontext()
    return torch.autocast(device_type, enabled=False)


def attend(
    q: Float[Tensor, "N T D"],
    k: Float[Tensor, "N S D"],
    v: Float[Tensor, "N S D"],
    heads: int,
    mask: Bool[Tensor, "N S"] | None = None,
) -> Float[Tensor, "N T D"]:
    """Multi-head scaled dot-product attention on projected queries, keys and values.

    Args:
        q: queries.
        k: keys.
        v: values.
        heads: how many; divides D.
        mask: which keys may be looked at, at least one a sample; None for all.
    """
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    mask = None if mask is None else mask[:, None, None, :]
    if _explicit_is_faster(q):
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        scores = scores if mask is None else scores.masked_fill(~mask, float("-inf"))
        attended = scores.float().softmax(dim=-1).to(v.dtype) @ v
    else:
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    joined: Tensor = attended.transpose(1, 2).flatten(-2)
    return joined


def _explicit_is_faster(q: Float[Tensor, "N heads T width"]) -> bool:
    # The processor's fused kernel takes three times as long in bfloat16's backward pass as plain matrix
    # products do, which fit its matrix units. The compiler keeps their scores in bfloat16 alone; without
    # it, or beyond some length, they would take too much memory.
    training = torch.compiler.is_compiling() and q.requires_grad and q.dtype == torch.bfloat16
    return training and q.device.type == "cpu" and q.shape[-2] <= _LONGEST_EXPLICIT


def folded(
    tensors: Mapping[str, Tensor], convolution: str, normalisation: str, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution and the batch normalisation behind it, folded in float64, in float32.

    Args:
        tensors: the weights, with ``weight`` under the convolution's name, and ``weight``, ``bias``,
            ``running_mean`` and ``running_var`` under the normalisation's.
        convolution: name of the convolution, which has no bias.
        normalisation: name of the normalisation.
        epsilon: what it adds to the variance.

    Raises:
        KeyError: if a tensor is missing.
    """
    gain, bias, mean, variance = (
        tensors[f"{normalisation}.{part}"].double()
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    factor = gain / (variance + epsilon).sqrt()
    weight = tensors[f"{convolution}.weight"].double() * factor[:, None, None, None]
    return weight.float(), (bias - mean * factor).float()
