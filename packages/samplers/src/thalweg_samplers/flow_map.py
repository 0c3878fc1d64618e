"""Steps of a flow map: from one time to an earlier one along the average velocity between them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import attrs
from jaxtyping import Float
from torch import Tensor

from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.types import Increments, VelocityField
from thalweg_samplers.options import checked
from thalweg_samplers.times import state, times_of, uniform_times, velocity_at


class FlowMapSampler:
    """x_r = x_t - (t - r) u(x_t, r, t), with u the average velocity over [r, t] (Geng et al., Mean flows).

    A step is exact where u is, however long it is, on any path: its error is that of the network alone. The
    field must offer ``average(x, t_N, r_N)``, as that of a network of two branches does which the objective
    ``flow_map`` has trained. At r = t that is the velocity, which all other samplers follow.

    Args:
        steps: evaluations, one each.
        times: where steps begin and end, from 1 down to 0; empty for equal steps.

    Raises:
        ConfigError: an option makes no sense.
    """

    needs_average = True

    def __init__(self, steps: int = 2, times: Sequence[float] = ()) -> None:
        options = checked(FlowMapSamplerConfig, steps=steps, times=times)
        self.steps, self.times = options.steps, options.times

    def __call__(
        self,
        velocity: VelocityField,
        x_1: Float[Tensor, "N *shape"],
        increments: Increments | None = None,  # noqa: ARG002 - the map is deterministic
        interpolant: Interpolant | None = None,  # noqa: ARG002 - the map needs no score
    ) -> Float[Tensor, "N *shape"]:
        """x_0 in float64.

        Raises:
            ConfigError: the field offers no average velocity.
        """
        average: Any = getattr(velocity, "average", None)
        if average is None:
            raise ConfigError(
                "the sampler flow_map follows average velocities, and this field offers none; take a network "
                "that the objective flow_map has trained, without guidance around it, or a sampler of "
                "velocities, such as euler"
            )
        x = state(x_1)
        for now, then in pairwise(self.times or uniform_times(1.0, 0.0, self.steps + 1)):
            r_N = times_of(then, x)
            u = velocity_at(lambda x, t, r_N=r_N: average(x, t, r_N), x, times_of(now, x))  # type: ignore[misc]
            x = x - (now - then) * u
        return x


@attrs.frozen
class FlowMapSamplerConfig:
    """Steps along the average velocity of a flow map, which the objective flow_map trains; one will do.

    Attributes:
        steps: each costs one evaluation of the network.
        times: where steps begin and end, steps + 1 times from 1 down to 0; empty for equal steps.
    """

    steps: int = attrs.field(default=2, validator=[attrs.validators.ge(1), attrs.validators.le(100_000)])
    times: tuple[float, ...] = attrs.field(default=(), converter=tuple)

    @times.validator
    def _descends(self, _: Any, times: tuple[float, ...]) -> None:
        if not times:
            return
        if len(times) != self.steps + 1:
            raise ConfigError(
                f"are {len(times)}, and {self.steps} steps begin and end at {self.steps + 1} times; give as "
                f"many, or set steps to {max(1, len(times) - 1)}"
            )
        if times[0] != 1 or times[-1] != 0 or not all(one > other for one, other in pairwise(times)):
            raise ConfigError(f"must descend from 1 to 0, as [1.0, 0.4, 0.0] do, got {list(times)}")

    def build(self, facts: Facts) -> FlowMapSampler:
        """The sampler.

        Raises:
            ConfigError: the network is no flow map.
        """
        if not facts.flow_map:
            raise ConfigError(
                "the sampler flow_map follows average velocities, and this network is no flow map, of two "
                "branches that the objective flow_map has trained; train it so, or take a sampler of "
                "velocities, such as euler (after a loop of your own, let network.facts = "
                "attrs.evolve(network.facts, flow_map=True))"
            )
        return FlowMapSampler(self.steps, self.times)
