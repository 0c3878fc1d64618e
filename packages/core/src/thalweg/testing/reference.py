"""The simplest backbone and refiner that keep the contracts: partners of the components under test.

They are registered nowhere. A refiner that is checked where no backbone is installed stands between the
branches of this one, and it shows that nothing is relied on beyond the contract.
"""

import attrs
import torch
from jaxtyping import Float
from torch import Tensor, nn

from thalweg.facts import Facts
from thalweg.layers import MLP, TimeEmbedding, layer_norm, linear, modulate, zero_linear
from thalweg.types import Boundary, Condition, Refinement, Stream

_PATCH = 2
_WIDTH = 32
_DEPTH = 4


@attrs.frozen
class ReferenceBackboneConfig:
    """A stack of modulated MLPs over 2x2 patches, with a mean over tokens in place of attention."""

    def build(self, facts: Facts) -> "ReferenceBackbone":
        """Build it."""
        return ReferenceBackbone(facts)


class ReferenceBackbone(nn.Module):
    """See :class:`ReferenceBackboneConfig`."""

    depth = _DEPTH
    width = _WIDTH
    heads = 4

    def __init__(self, facts: Facts) -> None:
        super().__init__()
        channels, height, width = facts.shape
        self._shape = facts.shape
        self.grid = (height // _PATCH, width // _PATCH)
        self.patches = nn.Conv2d(channels, _WIDTH, _PATCH, _PATCH)
        self.positions = nn.Parameter(0.02 * torch.randn(self.grid[0] * self.grid[1], _WIDTH))
        self.time = TimeEmbedding(_WIDTH)
        self.classes = nn.Embedding((facts.classes or 0) + 1, _WIDTH)
        self.blocks = nn.ModuleList(_Block() for _ in range(_DEPTH))

    def embed(self, x_t: Float[Tensor, "N C H W"], condition: Condition) -> Stream:  # noqa: ARG002
        """Patches with positions."""
        return Stream(self.patches(x_t).flatten(2).transpose(1, 2) + self.positions)

    def condition(self, t: Float[Tensor, " N"], condition: Condition) -> Float[Tensor, "N D"]:
        """Time and class."""
        null = self.classes.num_embeddings - 1
        labels = (
            torch.full((len(t),), null, device=t.device) if condition.labels is None else condition.labels
        )
        if condition.dropped is not None:
            labels = torch.where(condition.dropped, null, labels)
        embedded: Tensor = self.time(t) + self.classes(labels)
        return embedded

    def run(self, stream: Stream, c: Float[Tensor, "N D"], start: int, stop: int) -> Stream:
        """Blocks start..stop-1."""
        tokens = stream.tokens
        for block in self.blocks[start:stop]:
            tokens = block(tokens, c)
        return stream.with_tokens(tokens)

    def readout(self) -> nn.Module:
        """A zero linear layer to patches."""
        return _Readout(self.grid, self._shape[0])


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.modulation = linear(_WIDTH, 2 * _WIDTH)
        self.mlp = MLP([2 * _WIDTH, _WIDTH, _WIDTH])

    def forward(self, tokens: Tensor, c: Tensor) -> Tensor:
        shift, scale = self.modulation(c).chunk(2, dim=-1)
        normed = modulate(layer_norm(tokens), shift, scale)
        mean = normed.mean(dim=1, keepdim=True).expand_as(normed)
        mixed: Tensor = self.mlp(torch.cat([normed, mean], dim=-1))
        return tokens + mixed


class _Readout(nn.Module):
    def __init__(self, grid: tuple[int, int], channels: int) -> None:
        super().__init__()
        self._grid, self._channels = grid, channels
        self.modulation = zero_linear(_WIDTH, _WIDTH)
        self.output = zero_linear(_WIDTH, _PATCH * _PATCH * channels)

    def forward(self, tokens: Tensor, c: Tensor) -> Tensor:
        patches = self.output(layer_norm(tokens) + self.modulation(c).unsqueeze(1))
        rows, columns = self._grid
        x = patches.unflatten(2, (self._channels, _PATCH, _PATCH)).unflatten(1, (rows, columns))
        image: Tensor = x.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)
        return image


@attrs.frozen
class ReferenceRefinerConfig:
    """One linear layer a boundary for the tokens and one for the acceleration."""

    def build(self, facts: Facts) -> "ReferenceRefiner":
        """Build it."""
        return ReferenceRefiner(facts)


class ReferenceRefiner(nn.Module):
    """See :class:`ReferenceRefinerConfig`."""

    readouts = ("acceleration",)

    def __init__(self, facts: Facts) -> None:
        super().__init__()
        self.layers = nn.ModuleList(linear(facts.width, 2 * facts.width) for _ in range(facts.branches - 1))

    def forward(self, stream: Stream, boundary: Boundary) -> Refinement:
        """The tokens moved along the acceleration that is read from them."""
        read = self.layers[boundary.number](stream.tokens + boundary.patch_tokens)
        acceleration, change = read.chunk(2, dim=-1)
        moved = stream.tokens + change + boundary.gap[:, None, None] * acceleration
        return Refinement(moved, {"acceleration": acceleration})
