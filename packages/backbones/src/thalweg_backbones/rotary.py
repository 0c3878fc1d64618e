"""Rotary position embedding in two axes (RoPE; J. Su et al., 2021, for images as in EVA-02, 2023).

Of each head's features the first half turns with the row, the second with the column: neighbouring
features (a, b) of a half, taken as a + ib, are multiplied by exp(i p w_j), p the token's row or column and
w_j = 10000^(-2j / (h / 2)), h the head's width. The product of a query and a key then depends on where they
stand through the differences of their rows and of their columns alone.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from thalweg.errors import ConfigError

_PERIOD = 10_000.0


def angles(grid: tuple[int, int], width: int) -> Float[Tensor, "T half"]:
    """The angle by which each pair of a head's features turns at each place of a grid, row by row.

    Args:
        grid: tokens per column and per row.
        width: h, of a head; a multiple of 4.
    """
    rows, columns = grid
    quarter = width // 4
    omega = _PERIOD ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    row_T = torch.arange(rows, dtype=torch.float64).repeat_interleave(columns)
    column_T = torch.arange(columns, dtype=torch.float64).repeat(rows)
    return torch.cat([place[:, None] * omega for place in (row_T, column_T)], dim=-1)


def rotate(
    x: Float[Tensor, "N S D"], cos: Float[Tensor, "*n S half"], sin: Float[Tensor, "*n S half"], heads: int
) -> Float[Tensor, "N S D"]:
    """Queries or keys, turned where they stand; computed in the type of the cosines.

    Args:
        x: of all heads.
        cos: cosines of the angles, the same for every head.
        sin: sines.
        heads: how many.
    """
    pairs = x.unflatten(-1, (heads, -1, 2)).to(cos.dtype)
    first, second = pairs.unbind(-1)
    cos, sin = cos.unsqueeze(-2), sin.unsqueeze(-2)
    turned = torch.stack([first * cos - second * sin, second * cos + first * sin], dim=-1)
    return turned.flatten(-3).to(x.dtype)


class Rotary(nn.Module):
    """The cosines and sines of a grid.

    Args:
        grid: tokens per column and per row.
        width: of a head.

    Raises:
        ConfigError: if a head cannot be halved into pairs.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, grid: tuple[int, int], width: int) -> None:
        super().__init__()
        if width % 4:
            raise ConfigError(
                f"a head is {width} wide; rows and columns each turn pairs of its features, so it must be a "
                "multiple of 4 (set backbone.width or backbone.heads)"
            )
        angle = angles(grid, width)
        self.register_buffer("cos", angle.cos().float(), persistent=False)
        self.register_buffer("sin", angle.sin().float(), persistent=False)

    def forward(self, places: Int[Tensor, "N T"] | None, before: int = 0) -> tuple[Tensor, Tensor]:
        """Cosines and sines of the tokens of a sequence.

        Args:
            places: where on the grid each token stands, counted row by row; None for all in order.
            before: tokens in front that stand nowhere and are not turned.
        """
        cos, sin = (one if places is None else one[places] for one in (self.cos, self.sin))
        if before:
            still = cos.new_zeros((*cos.shape[:-2], before, cos.shape[-1]))
            cos, sin = torch.cat([still + 1, cos], dim=-2), torch.cat([still, sin], dim=-2)
        return cos, sin
