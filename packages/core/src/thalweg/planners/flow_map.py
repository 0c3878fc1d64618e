"""Pairs of times for a network that learns an average velocity."""

from typing import Any

import attrs
import torch
from attrs.validators import and_, ge, le
from jaxtyping import Float
from torch import Tensor

from thalweg.config.components import component_field
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.plugins import build_component
from thalweg.protocols import TimeSampler
from thalweg.transfers import moved
from thalweg.types import Batch, Plan


@attrs.frozen
class FlowMapConfig:
    """Two branches at times r <= t: the first at t, where x_t is, the second at r, where a flow map leads.

    Both times are drawn independently and sorted; then a share of the samples gets r = t, where the average
    velocity over [r, t] is the velocity itself (MeanFlow, section 4.3).

    Attributes:
        time_sampler: the distribution of both times before they are sorted; by default logit-normal with
            mean -0.4 and standard deviation 1.
        equal: share of the samples whose two times are the same.
    """

    time_sampler: Any = component_field("time_sampler", {"type": "logit_normal", "mean": -0.4})
    equal: float = attrs.field(default=0.5, validator=and_(ge(0.0), le(1.0)))

    def build(self, facts: Facts) -> "FlowMap":
        """Build it.

        Raises:
            ConfigError: the network has not two branches.
        """
        if facts.branches != 2:
            raise ConfigError(
                f"the planner 'flow_map' draws a pair of times and the network has branches = "
                f"{facts.branches}; set branches = 2, or take the planner 'branch_times'"
            )
        return FlowMap(build_component(self.time_sampler, facts), self.equal)


class FlowMap:
    """See :class:`FlowMapConfig`. Fulfils :class:`thalweg.protocols.Planner`.

    Args:
        time_sampler: of both times.
        equal: share of the samples with r = t.
    """

    ordered = True

    def __init__(self, time_sampler: TimeSampler, equal: float) -> None:
        self._time_sampler, self._equal = time_sampler, equal

    def __call__(
        self,
        batch: Batch,
        noise: Float[Tensor, "N *shape"],
        generator: torch.Generator,
        interpolant: Interpolant,
    ) -> Plan:
        """The batch with its noise as it came; times are t, then r."""
        count = len(batch.clean)
        one_N = self._time_sampler(count, generator, interpolant)
        other_N = self._time_sampler(count, generator, interpolant)
        t_N, r_N = torch.maximum(one_N, other_N), torch.minimum(one_N, other_N)
        # Drawn in any case, so that another share changes no time.
        r_N = torch.where(torch.rand(count, generator=generator) < self._equal, t_N, r_N)
        return Plan.at(batch.clean, noise, moved(torch.stack([t_N, r_N]), batch.clean.device), interpolant)
