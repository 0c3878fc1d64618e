"""Noise is paired with the data that lie nearest, by an optimal assignment within each batch."""

from collections.abc import Callable

import attrs
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

import thalweg


@thalweg.register("planner", "transport")
@attrs.frozen
class TransportConfig:
    """Optimal transport within a batch, then one time for all branches.

    Attributes:
        time_sampler: the distribution of times.
    """

    time_sampler: object = thalweg.component_field("time_sampler", "uniform")

    def build(self, facts: thalweg.Facts) -> "Transport":
        """Build it for as many branches as the network has."""
        return Transport(thalweg.build("time_sampler", self.time_sampler, facts), facts.branches)


class Transport:
    """See :class:`TransportConfig`."""

    def __init__(self, time_sampler: Callable[..., Tensor], branches: int) -> None:
        self.time_sampler, self.branches = time_sampler, branches

    def __call__(
        self,
        batch: thalweg.Batch,
        noise: Tensor,
        generator: torch.Generator,
        interpolant: thalweg.Interpolant,
    ) -> thalweg.Plan:
        """The plan of the batch with its noise in the order of the cheapest pairs."""
        costs = torch.cdist(batch.clean.flatten(1).double(), noise.flatten(1).double()).square()
        _, partners = linear_sum_assignment(costs.cpu().numpy())
        paired = noise[torch.as_tensor(partners, device=noise.device)]
        t = self.time_sampler(len(noise), generator, interpolant).to(noise.device)
        return thalweg.Plan.at(batch.clean, paired, t.expand(self.branches, -1), interpolant)
