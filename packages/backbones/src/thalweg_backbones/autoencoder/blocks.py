"""What encoder and decoder are made of.

Modules are called as in files of diffusers.
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from thalweg_backbones.autoencoder.architecture import Architecture

NORM_EPS = 1e-6


def norm(channels: int, groups: int) -> nn.GroupNorm:
    """Normalisation over groups of channels."""
    return nn.GroupNorm(groups, channels, eps=NORM_EPS)


def conv(inputs: int, outputs: int) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class Residual(nn.Module):
    """``x + conv(silu(norm(conv(silu(norm(x))))))``, x through a 1x1 convolution where the width changes."""

    def __init__(self, inputs: int, outputs: int, groups: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = norm(inputs, groups), conv(inputs, outputs)
        self.norm2, self.conv2 = norm(outputs, groups), conv(outputs, outputs)
        self.conv_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x: Float[Tensor, "N inputs H W"]) -> Float[Tensor, "N outputs H W"]:
        """The block."""
        h = self.conv1(functional.silu(self.norm1(x)))
        h = self.conv2(functional.silu(self.norm2(h)))
        total: Tensor = (x if self.conv_shortcut is None else self.conv_shortcut(x)) + h
        return total


class Attention(nn.Module):
    """``x + out(attention(norm(x)))`` among all places, with a single head."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.group_norm = norm(width, groups)
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x: Float[Tensor, "N D H W"]) -> Float[Tensor, "N D H W"]:
        """The block."""
        tokens_NTD = self.group_norm(x).flatten(2).transpose(1, 2)
        # A head of its own axis, without which no fused kernel takes it.
        q, k, v = (layer(tokens_NTD).unsqueeze(1) for layer in (self.to_q, self.to_k, self.to_v))
        seen_NTD = functional.scaled_dot_product_attention(q, k, v).squeeze(1)
        total: Tensor = x + self.to_out[0](seen_NTD).transpose(1, 2).unflatten(2, x.shape[2:])
        return total


class Downsample(nn.Module):
    """Halves the size by a 3x3 convolution of stride 2, padded at the right and the bottom alone."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, x: Float[Tensor, "N D H W"]) -> Float[Tensor, "N D h w"]:
        """The layer."""
        halved: Tensor = self.conv(functional.pad(x, (0, 1, 0, 1)))
        return halved


class Upsample(nn.Module):
    """Doubles the size by repeating every place, then a 3x3 convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = conv(width, width)

    def forward(self, x: Float[Tensor, "N D h w"]) -> Float[Tensor, "N D H W"]:
        """The layer."""
        doubled: Tensor = self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        return doubled


class Middle(nn.Module):
    """What stands at the coarsest level: residual block, attention, residual block."""

    def __init__(self, sizes: Architecture) -> None:
        super().__init__()
        width = sizes.widths[-1]
        self.resnets = nn.ModuleList([Residual(width, width, sizes.groups) for _ in range(2)])
        self.attentions = nn.ModuleList([Attention(width, sizes.groups)])

    def forward(self, x: Float[Tensor, "N D H W"]) -> Float[Tensor, "N D H W"]:
        """The three blocks."""
        x = self.attentions[0](self.resnets[0](x))
        refined: Tensor = self.resnets[1](x)
        return refined


class Level(nn.Module):
    """Residual blocks, the first of which changes the width; behind each one attention, where there is any.

    Args:
        inputs: channels before it.
        outputs: channels behind it.
        count: of residual blocks.
        groups: of every normalisation.
        attention: whether attention stands behind each of them.
    """

    def __init__(self, inputs: int, outputs: int, count: int, groups: int, *, attention: bool) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(
            [Residual(inputs if place == 0 else outputs, outputs, groups) for place in range(count)]
        )
        self.attentions = nn.ModuleList([Attention(outputs, groups) for _ in range(count * attention)])

    def forward(self, x: Float[Tensor, "N inputs H W"]) -> Float[Tensor, "N outputs H W"]:
        """The blocks, at one size."""
        for place, residual in enumerate(self.resnets):
            x = residual(x)
            if self.attentions:
                x = self.attentions[place](x)
        return x


def through(layers: nn.ModuleList, x: Tensor) -> Tensor:
    """One after another."""
    for layer in layers:
        x = layer(x)
    return x
