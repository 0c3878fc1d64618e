"""From images to the parameters of a posterior."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from thalweg_backbones.autoencoder.architecture import Architecture
from thalweg_backbones.autoencoder.blocks import Downsample, Level, Middle, conv, norm, through


class Encoder(nn.Module):
    """The encoder of latent diffusion's autoencoders (Rombach et al. 2022, appendix G).

    Args:
        sizes: the architecture.
    """

    def __init__(self, sizes: Architecture) -> None:
        super().__init__()
        finest, coarsest = sizes.widths[0], sizes.widths[-1]
        self.conv_in = conv(sizes.channels, finest)
        self.down_blocks = nn.ModuleList(
            [
                _DownLevel(before, width, sizes, level)
                for level, (before, width) in enumerate(
                    zip((finest, *sizes.widths), sizes.widths, strict=False)
                )
            ]
        )
        self.mid_block = Middle(sizes)
        self.conv_norm_out = norm(coarsest, sizes.groups)
        self.conv_out = conv(coarsest, 2 * sizes.inner_channels)

    def forward(self, images: Float[Tensor, "N channels height width"]) -> Float[Tensor, "N moments H W"]:
        """Mean and logarithm of the variance, one after the other along the channels.

        Args:
            images: in [-1, 1].
        """
        x = self.mid_block(through(self.down_blocks, self.conv_in(images)))
        moments: Tensor = self.conv_out(functional.silu(self.conv_norm_out(x)))
        return moments


class _DownLevel(Level):
    def __init__(self, inputs: int, outputs: int, sizes: Architecture, level: int) -> None:
        attention = level in sizes.encoder_attention
        super().__init__(inputs, outputs, sizes.residuals, sizes.groups, attention=attention)
        halved = level < len(sizes.widths) - 1
        self.downsamplers = nn.ModuleList([Downsample(outputs)] if halved else [])

    def forward(self, x: Float[Tensor, "N inputs H W"]) -> Float[Tensor, "N outputs h w"]:
        return through(self.downsamplers, super().forward(x))
