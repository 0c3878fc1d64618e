"""A time for each branch, a small gap apart."""

from typing import Any

import attrs
import torch
from attrs.validators import and_, ge, le
from jaxtyping import Float
from torch import Tensor

from thalweg.config.components import component_field
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.plugins import build_component
from thalweg.protocols import TimeSampler
from thalweg.transfers import moved
from thalweg.types import Batch, Plan


@attrs.frozen
class BranchTimesConfig:
    """Each branch at a time of its own, close to that of its neighbour (DeepFlow, section 3.2).

    Attributes:
        time_sampler: the distribution of the first branch's times.
        max_time_gap: alpha, the largest gap between the times of neighbouring branches.
    """

    time_sampler: Any = component_field("time_sampler", "logit_normal")
    max_time_gap: float = attrs.field(default=0.01, validator=and_(ge(0.0), le(1.0)))

    def build(self, facts: Facts) -> "BranchTimes":
        """Build it."""
        return BranchTimes(build_component(self.time_sampler, facts), facts.branches, self.max_time_gap)


class BranchTimes:
    """See :class:`BranchTimesConfig`. Fulfils :class:`thalweg.protocols.Planner`.

    Args:
        time_sampler: distribution of the first branch's time.
        branches: k.
        max_time_gap: alpha.
    """

    def __init__(self, time_sampler: TimeSampler, branches: int, max_time_gap: float) -> None:
        self._time_sampler, self._branches, self._max_time_gap = time_sampler, branches, max_time_gap

    def __call__(
        self,
        batch: Batch,
        noise: Float[Tensor, "N *shape"],
        generator: torch.Generator,
        interpolant: Interpolant,
    ) -> Plan:
        """The batch with its noise as it came, at drawn times."""
        times_kN = moved(self.times(len(batch.clean), generator, interpolant), batch.clean.device)
        return Plan.at(batch.clean, noise, times_kN, interpolant)

    def times(self, count: int, generator: torch.Generator, interpolant: Interpolant) -> Float[Tensor, "k N"]:
        """t_1 from the time sampler; t_{i+1} = t_i + s u_i alpha within [0, 1].

        The sign s is drawn once a batch, u_i ~ U(0, 1) once a sample and branch. The first branch's times
        come first, so that networks with other numbers of branches are asked the same under one seed.
        """
        times = [self._time_sampler(count, generator, interpolant)]
        sign = 1 - 2 * torch.randint(2, (), generator=generator)
        for _ in range(self._branches - 1):
            gap = sign * self._max_time_gap * torch.rand(count, generator=generator)
            times.append((times[-1] + gap).clamp(0, 1))
        return torch.stack(times)
