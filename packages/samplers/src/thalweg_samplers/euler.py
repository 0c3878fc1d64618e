"""Euler's method for the probability-flow ODE."""

from itertools import pairwise

import attrs
from jaxtyping import Float
from torch import Tensor

from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.types import Increments, VelocityField
from thalweg_samplers.options import checked
from thalweg_samplers.times import state, times_of, uniform_times, velocity_at


class Euler:
    """Euler's method: dx/dt = v(x, t) from t = 1 to t = 0, first order.

    Args:
        steps: equal steps, one evaluation each.

    Raises:
        ConfigError: an option makes no sense.
    """

    order = 1
    """Of convergence."""

    def __init__(self, steps: int = 50) -> None:
        self.steps = checked(EulerConfig, steps=steps).steps

    def __call__(
        self,
        velocity: VelocityField,
        x_1: Float[Tensor, "N *shape"],
        increments: Increments | None = None,  # noqa: ARG002 - the ODE is deterministic
        interpolant: Interpolant | None = None,  # noqa: ARG002 - the ODE needs no score
    ) -> Float[Tensor, "N *shape"]:
        """x_0 in float64."""
        x = state(x_1)
        for now, then in pairwise(uniform_times(1.0, 0.0, self.steps + 1)):
            x = x + (then - now) * velocity_at(velocity, x, times_of(now, x))
        return x


@attrs.frozen
class EulerConfig:
    """Euler's method for the probability-flow ODE.

    Attributes:
        steps: equal steps from noise to data; each costs one evaluation of the network.
    """

    steps: int = attrs.field(default=50, validator=[attrs.validators.ge(1), attrs.validators.le(100_000)])

    def build(self, _: Facts) -> Euler:
        """The sampler."""
        return Euler(self.steps)
