"""A network that is the exact flow map of Gaussian data, put together of a backbone and a refiner."""

from typing import Any

import attrs
import torch
from torch import nn

import thalweg
from thalweg.facts import Facts
from thalweg.network import FlowNetwork
from thalweg.types import Refinement, Stream
from thalweg_authoring.gaussian import LINEAR, Gaussian


class ExactReadout(nn.Module):
    """Reads the average velocity between the branch's time and the one that the refiner wrote beside x."""

    def __init__(self, data: Gaussian) -> None:
        super().__init__()
        self.data = data
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, tokens: Any, c: Any) -> Any:
        """u at x; of the first branch v."""
        x, written, own = tokens[:, 0, :-1], tokens[:, 0, -1], c[:, 0]
        return self.gain * self.data.average(x, torch.where(written < 0, own, written), own)


class ExactBackbone(nn.Module):
    """One token of x and a place for a time; blocks leave it as it is."""

    depth, heads, grid = 2, 1, (1, 1)

    def __init__(self, data: Gaussian, size: int) -> None:
        super().__init__()
        self.data, self.width = data, size + 1
        self.unused = nn.Parameter(torch.zeros(()), requires_grad=False)

    def embed(self, x_t: Any, condition: Any) -> Stream:
        """x, and no time yet."""
        del condition
        return Stream(torch.cat([x_t, -torch.ones_like(x_t[:, :1])], dim=1).unsqueeze(1))

    def condition(self, t: Any, condition: Any) -> Any:
        """The time in every place."""
        del condition
        return t[:, None].expand(-1, self.width)

    def run(self, stream: Stream, c: Any, start: int, stop: int) -> Stream:
        """Nothing."""
        del c, start, stop
        return stream

    def readout(self) -> nn.Module:
        """An exact one."""
        return ExactReadout(self.data)


class ExactRefiner(nn.Module):
    """Writes the first branch's time beside x."""

    readouts: tuple[str, ...] = ()

    def forward(self, stream: Stream, boundary: Any) -> Refinement:
        """The token with its time."""
        x = stream.tokens[..., :-1]
        time = boundary.time.to(x)[:, None, None].expand(-1, 1, 1)
        return Refinement(torch.cat([x, time], dim=-1))


def exact_network(size: int = 3, interpolant: Any = LINEAR, mu: float = 0.7, s: float = 0.4) -> FlowNetwork:
    """The flow map of N(mu, s^2) in so many dimensions."""
    network = thalweg.compose(
        backbone=ExactBackbone(Gaussian(interpolant, mu, s), size),
        refiner=ExactRefiner(),
        branches=2,
        facts=Facts(shape=(size,)),
        interpolant=interpolant,
    )
    network.facts = attrs.evolve(network.facts, flow_map=True)
    return network
