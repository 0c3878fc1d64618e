"""Draws what a training step asks of the network: noise, a time per branch, x_t and the target."""

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.interpolant import Interpolant
from thalweg.protocols import TimeSampler
from thalweg.types import Plan


class Planner:
    """From clean data to a :class:`thalweg.types.Plan`.

    Args:
        interpolant: the path from data to noise.
        time_sampler: distribution of the first branch's time.
        branches: k.
        max_time_gap: alpha, the largest gap between the times of adjacent branches.
    """

    def __init__(
        self, interpolant: Interpolant, time_sampler: TimeSampler, branches: int, max_time_gap: float
    ) -> None:
        self.interpolant = interpolant
        self._time_sampler, self._branches, self._max_time_gap = time_sampler, branches, max_time_gap

    def __call__(self, clean: Float[Tensor, "N *shape"], generator: torch.Generator) -> Plan:
        """Draw on the generator's device, then move to the data's.

        Noise and the first branch's times come first, so that networks with other numbers of branches
        are asked the same under one seed.
        """
        noise = torch.randn(clean.shape, generator=generator).to(clean.device)
        times_kN = self.times(len(clean), generator).to(clean.device)
        return self.plan(clean, noise, times_kN)

    def plan(
        self,
        clean: Float[Tensor, "N *shape"],
        noise: Float[Tensor, "N *shape"],
        times_kN: Float[Tensor, "k N"],
    ) -> Plan:
        """The plan of given noise and times."""
        x_t = self.interpolant.x_t(clean, noise, times_kN[0])
        velocity = self.interpolant.velocity(clean, noise, times_kN[0])
        return Plan(clean, noise, times_kN, x_t, velocity, self.interpolant)

    def times(self, count: int, generator: torch.Generator) -> Float[Tensor, "k N"]:
        """t_1 from the time sampler; t_{i+1} = t_i + s u_i alpha within [0, 1].

        The sign s is drawn once a batch, u_i ~ U(0, 1) once a sample and branch.
        """
        times = [self._time_sampler(count, generator, self.interpolant)]
        sign = 1 - 2 * torch.randint(2, (), generator=generator)
        for _ in range(self._branches - 1):
            gap = sign * self._max_time_gap * torch.rand(count, generator=generator)
            times.append((times[-1] + gap).clamp(0, 1))
        return torch.stack(times)
