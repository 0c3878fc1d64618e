"""Block and read-out of the U-ViT."""

import torch
from torch import Tensor, nn

from thalweg.layers import MLP, attend, layer_norm, linear, modulate, zero_linear


class Block(nn.Module):
    """Attention and an MLP, both modulated by c; before them a skip is joined where one ends.

    Args:
        width: D.
        heads: of the attention.
        joins: whether a skip connection ends here.
    """

    def __init__(self, width: int, heads: int, joins: bool) -> None:
        super().__init__()
        self._heads = heads
        self.join = joining(width) if joins else None
        self.modulation = zero_linear(width, 6 * width)
        self.qkv = linear(width, 3 * width)
        self.out = linear(width, width)
        self.mlp = MLP([width, 4 * width, width])

    def forward(self, tokens: Tensor, skip: Tensor | None, c: Tensor) -> Tensor:
        """tokens and skip (N, T, D), c (N, D)."""
        if self.join is not None:
            tokens = self.join(torch.cat([tokens, skip], dim=-1))
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = self.modulation(c).chunk(6, dim=-1)
        q, k, v = self.qkv(modulate(layer_norm(tokens), shift_1, scale_1)).chunk(3, dim=-1)
        tokens = tokens + gate_1.unsqueeze(1) * self.out(attend(q, k, v, self._heads))
        return tokens + gate_2.unsqueeze(1) * self.mlp(modulate(layer_norm(tokens), shift_2, scale_2))


def joining(width: int) -> nn.Linear:
    """M: (own tokens, skipped tokens) to tokens, at first the own ones."""
    layer = zero_linear(2 * width, width)
    nn.init.eye_(layer.weight)
    return layer


class Readout(nn.Module):
    """From tokens to an image, zero at first.

    Args:
        grid: tokens per column and per row.
        width: D.
        channels: of the image.
        patch: side of a patch.
    """

    def __init__(self, grid: tuple[int, int], width: int, channels: int, patch: int) -> None:
        super().__init__()
        self._grid, self._channels, self._patch = grid, channels, patch
        self.modulation = zero_linear(width, 2 * width)
        self.output = zero_linear(width, channels * patch * patch)

    def forward(self, tokens: Tensor, c: Tensor) -> Tensor:
        """tokens (N, T, D), c (N, D)."""
        shift, scale = self.modulation(c).chunk(2, dim=-1)
        patches = self.output(modulate(layer_norm(tokens), shift, scale))
        x = patches.unflatten(2, (self._channels, self._patch, self._patch)).unflatten(1, self._grid)
        return x.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)
