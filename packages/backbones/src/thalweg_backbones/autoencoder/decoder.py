"""From latents to images."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from thalweg_backbones.autoencoder.architecture import Architecture
from thalweg_backbones.autoencoder.blocks import Level, Middle, Upsample, conv, norm, through


class Decoder(nn.Module):
    """The encoder's mirror image, with one more residual block a level.

    Args:
        sizes: the architecture.
    """

    def __init__(self, sizes: Architecture) -> None:
        super().__init__()
        widths = sizes.widths[::-1]
        coarsest, finest = widths[0], widths[-1]
        self.conv_in = conv(sizes.inner_channels, coarsest)
        self.mid_block = Middle(sizes)
        self.up_blocks = nn.ModuleList(
            [
                _UpLevel(before, width, sizes, len(widths) - 1 - place)
                for place, (before, width) in enumerate(zip((coarsest, *widths), widths, strict=False))
            ]
        )
        self.conv_norm_out = norm(finest, sizes.groups)
        self.conv_out = conv(finest, sizes.channels)

    def forward(self, latents: Float[Tensor, "N C H W"]) -> Float[Tensor, "N channels height width"]:
        """Images in [-1, 1], apart from what oversteps a little."""
        x = through(self.up_blocks, self.mid_block(self.conv_in(latents)))
        images: Tensor = self.conv_out(functional.silu(self.conv_norm_out(x)))
        return images


class _UpLevel(Level):
    def __init__(self, inputs: int, outputs: int, sizes: Architecture, level: int) -> None:
        attention = level in sizes.decoder_attention
        super().__init__(inputs, outputs, sizes.residuals + 1, sizes.groups, attention=attention)
        self.upsamplers = nn.ModuleList([Upsample(outputs)] if level > 0 else [])

    def forward(self, x: Float[Tensor, "N inputs h w"]) -> Float[Tensor, "N outputs H W"]:
        return through(self.upsamplers, super().forward(x))
