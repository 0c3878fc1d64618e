"""Layers of the transformer backbones: patches, positions, self-attention, read-out."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from thalweg.errors import ConfigError
from thalweg.facts import image_shape
from thalweg.layers import attend, layer_norm, linear, modulate, zero_linear
from thalweg.types import Condition

_POSITION_PERIOD = 10_000.0


def positions(grid: tuple[int, int], width: int) -> Float[Tensor, "1 T D"]:
    """Fixed 2-D sin-cos positions, row by row.

    The first half of the width encodes the column, the second the row; each half is sines, then
    cosines of the coordinate times 10000^(-i / (width / 4)).
    """
    rows, columns = grid
    quarter = width // 4
    omega = _POSITION_PERIOD ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    row_T = torch.arange(rows, dtype=torch.float64).repeat_interleave(columns)
    column_T = torch.arange(columns, dtype=torch.float64).repeat(rows)
    angles = [coordinate[:, None] * omega for coordinate in (column_T, row_T)]
    encoded = torch.cat([wave for angle in angles for wave in (angle.sin(), angle.cos())], dim=-1)
    return encoded.float().unsqueeze(0)


class PatchEmbedding(nn.Module):
    """Cuts an image into patches, maps each to a token and adds its position.

    Args:
        channels: of the image.
        patch: side of a patch.
        grid: tokens per column and per row.
        width: D.
        stored: save the positions with the weights.
    """

    positions: Tensor

    def __init__(
        self, channels: int, patch: int, grid: tuple[int, int], width: int, stored: bool = False
    ) -> None:
        super().__init__()
        self.patch = patch
        self.projection = linear(channels * patch * patch, width)
        self.register_buffer("positions", positions(grid, width), persistent=stored)

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N T D"]:
        """Tokens row by row."""
        patch = self.patch
        rows, columns = x.shape[2] // patch, x.shape[3] // patch
        # N C (rows p) (columns q) -> N (rows columns) (C p q)
        x = x.unflatten(3, (columns, patch)).unflatten(2, (rows, patch))
        patches_NTP = x.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
        tokens: Tensor = self.projection(patches_NTP)
        return tokens + self.positions


class Readout(nn.Module):
    """From tokens back to an image: adaLN, then a linear layer to every patch; starts at zero."""

    def __init__(self, channels: int, patch: int, grid: tuple[int, int], width: int) -> None:
        super().__init__()
        self.patch, self.grid = patch, grid
        self.modulation = zero_linear(width, 2 * width)
        self.projection = zero_linear(width, patch * patch * channels)

    def forward(self, tokens: Float[Tensor, "N T D"], c: Float[Tensor, "N D"]) -> Float[Tensor, "N C H W"]:
        """Read the image that the tokens stand for."""
        shift, scale = self.modulation(functional.silu(c)).chunk(2, dim=-1)
        patches: Tensor = self.projection(modulate(layer_norm(tokens), shift, scale))
        return unpatched(patches, self.grid, self.patch)


def unpatched(patches: Float[Tensor, "N T P"], grid: tuple[int, int], patch: int) -> Float[Tensor, "N C H W"]:
    """The image whose patches these are, row by row, each ordered (row, column, channel).

    Args:
        patches: of patch * patch * C numbers.
        grid: patches per column and per row.
        patch: side of a patch.
    """
    # N (rows columns) (p q C) -> N C (rows p) (columns q)
    x: Tensor = patches.unflatten(1, grid).unflatten(3, (patch, patch, -1))
    return x.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)


class Projections(nn.Module):
    """Queries, keys and values of one stream, the first two optionally RMS-normalised per head."""

    def __init__(self, width: int, heads: int, qk_norm: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = linear(width, 3 * width)
        self.q_norm = nn.RMSNorm(width // heads, eps=1e-6) if qk_norm else None
        self.k_norm = nn.RMSNorm(width // heads, eps=1e-6) if qk_norm else None

    def project(self, x: Float[Tensor, "N T D"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of every token."""
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        if self.q_norm is not None:
            q = _per_head(self.q_norm, q, self.heads)
        if self.k_norm is not None:
            k = _per_head(self.k_norm, k, self.heads)
        return q, k, v.to(q.dtype)


class SelfAttention(Projections):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int, qk_norm: bool) -> None:
        super().__init__(width, heads, qk_norm)
        self.out = linear(width, width)

    def forward(self, x: Float[Tensor, "N T D"]) -> Float[Tensor, "N T D"]:
        """Let every token look at every other one."""
        attended: Tensor = self.out(attend(*self.project(x), self.heads))
        return attended


def _per_head(norm: nn.RMSNorm, x: Tensor, heads: int) -> Tensor:
    # In the weight's dtype: under autocast x is bfloat16, for which the mixed form has no fused kernel.
    normed: Tensor = norm(x.unflatten(-1, (heads, -1)).to(norm.weight.dtype))
    return normed.flatten(-2).to(x.dtype)


def grid_of(name: str, shape: tuple[int, ...], patch: int) -> tuple[int, int]:
    """Tokens per column and per row.

    Args:
        name: of the backbone.
        shape: of the data.
        patch: side of a patch.

    Raises:
        ConfigError: if the data are no images, or the patch does not divide them.
    """
    fix = "take a backbone for data of any shape, such as mlp"
    _, height, width = image_shape(shape, f"backbone {name}", fix)
    if height % patch or width % patch:
        raise ConfigError(
            f"backbone.patch is {patch}, which does not divide the {height}x{width} image; "
            f"choose a patch that divides both sides"
        )
    return height // patch, width // patch


def class_table(classes: int | None, width: int) -> nn.Embedding | None:
    """N(0, 0.02) embeddings of the classes and, in the last row, of the null class."""
    if classes is None:
        return None
    table = nn.Embedding(classes + 1, width)
    nn.init.normal_(table.weight, std=0.02)
    return table


def class_labels(condition: Condition, table: nn.Embedding, t: Float[Tensor, " N"]) -> Int[Tensor, " N"]:
    """Rows of the table: the label's, or the null class's where it is hidden or there is none."""
    null = table.num_embeddings - 1
    if condition.labels is None:
        return torch.full(t.shape, null, device=t.device)
    if condition.dropped is None:
        return condition.labels
    return torch.where(condition.dropped, null, condition.labels)
