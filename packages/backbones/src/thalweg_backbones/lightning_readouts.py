"""Read-outs of LightningDiT: a modulated linear layer, and the wide head of RAE.

B. Zheng et al., Diffusion transformers with representation autoencoders, 2025.
"""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from thalweg.layers import linear, zero_linear
from thalweg_backbones.layers import PatchEmbedding, unpatched
from thalweg_backbones.lightning_block import LightningBlock, TokenNorm, per_token, shifted
from thalweg_backbones.rotary import Rotary


class NormedReadout(nn.Module):
    """From tokens back to an image: RMSNorm and adaLN, then a linear layer to every patch; starts at zero.

    Args:
        channels: of the image.
        patch: side of a patch.
        grid: patches per column and per row.
        width: of tokens and condition.
    """

    def __init__(self, channels: int, patch: int, grid: tuple[int, int], width: int) -> None:
        super().__init__()
        self.patch, self.grid = patch, grid
        self.norm = TokenNorm(width)
        self.modulation = zero_linear(width, 2 * width)
        self.projection = zero_linear(width, patch * patch * channels)

    def forward(
        self, tokens: Float[Tensor, "N T D"], c: Float[Tensor, "N D"] | Float[Tensor, "N T D"]
    ) -> Float[Tensor, "N C H W"]:
        """Read the image that the tokens stand for; the condition is each sample's or each token's."""
        shift, scale = self.modulation(functional.silu(per_token(c))).chunk(2, dim=-1)
        return unpatched(self.projection(shifted(self.norm(tokens), shift, scale)), self.grid, self.patch)


class WideReadout(nn.Module):
    """A shallow transformer wider than the trunk, on the noisy image itself.

    Its tokens are the image's patches at its own width W; each of its blocks, and its last layer, is
    modulated token by token by the trunk's tokens and the condition, both mapped to W. Noise has all
    directions of a patch, and a trunk narrower than a patch cannot hand them through; the wide head can.

    Args:
        channels: of the image.
        patch: side of a patch.
        grid: patches per column and per row.
        width: D, of the trunk.
        wide: W.
        depth: its blocks.
        heads: their attention heads.
        qk_norm: whether they RMS-normalise queries and keys.
    """

    reads_noisy: ClassVar = True

    def __init__(
        self,
        channels: int,
        patch: int,
        grid: tuple[int, int],
        width: int,
        wide: int,
        depth: int,
        heads: int,
        qk_norm: bool,
    ) -> None:
        super().__init__()
        self.patches = PatchEmbedding(channels, patch, grid, wide)
        self.trunk, self.condition = linear(width, wide), linear(width, wide)
        self.rotary = Rotary(grid, wide // heads)
        self.blocks = nn.ModuleList(
            LightningBlock(wide, heads, qk_norm, modulated=True, mixed=False) for _ in range(depth)
        )
        self.last = NormedReadout(channels, patch, grid, wide)

    def forward(
        self, tokens: Float[Tensor, "N T D"], c: Float[Tensor, "N D"], x_t: Float[Tensor, "N C H W"]
    ) -> Float[Tensor, "N C H W"]:
        """Read the image that the tokens stand for, beside the noisy one that the network was given."""
        told_NTW = self.trunk(tokens) + self.condition(c).unsqueeze(1)
        rotation: tuple[Tensor, Tensor] = self.rotary(None)
        x: Tensor = self.patches(x_t)
        for block in self.blocks:
            x, _ = block(x, told_NTW, rotation)
        out: Tensor = self.last(x, told_NTW)
        return out
