"""Heun's method for the probability-flow ODE."""

from itertools import pairwise

import attrs
from jaxtyping import Float
from torch import Tensor

from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.types import Increments, VelocityField
from thalweg_samplers.options import checked
from thalweg_samplers.times import state, times_of, uniform_times, velocity_at


class Heun:
    """Heun's method: the trapezoidal rule on an Euler prediction, second order.

    The last step, which ends at t = 0, stays an Euler step: no velocity is evaluated on clean data,
    where a score would be singular. One step of local order two leaves the global order at two.
    Both slopes of a step belong to the field in which it begins: where guidance sets in or ends within
    a step, averaging over the jump would follow neither side.

    Args:
        steps: equal steps; all but the last cost two evaluations.

    Raises:
        ConfigError: an option makes no sense.
    """

    order = 2
    """Of convergence."""

    def __init__(self, steps: int = 50) -> None:
        self.steps = checked(HeunConfig, steps=steps).steps

    def __call__(
        self,
        velocity: VelocityField,
        x_1: Float[Tensor, "N *shape"],
        increments: Increments | None = None,  # noqa: ARG002 - the ODE is deterministic
        interpolant: Interpolant | None = None,  # noqa: ARG002 - the ODE needs no score
    ) -> Float[Tensor, "N *shape"]:
        """x_0 in float64."""
        x = state(x_1)
        during = getattr(velocity, "during", None)
        for now, then in pairwise(uniform_times(1.0, 0.0, self.steps + 1)):
            times_N = times_of(now, x)
            field = velocity if during is None else during(times_N)
            slope = velocity_at(field, x, times_N)
            predicted = x + (then - now) * slope
            if then > 0:
                x = x + (then - now) * 0.5 * (slope + velocity_at(field, predicted, times_of(then, x)))
            else:
                x = predicted
        return x


@attrs.frozen
class HeunConfig:
    """Heun's method for the probability-flow ODE; its last step is an Euler step.

    Attributes:
        steps: equal steps from noise to data; they cost 2 steps - 1 evaluations of the network.
    """

    steps: int = attrs.field(default=50, validator=[attrs.validators.ge(1), attrs.validators.le(100_000)])

    def build(self, _: Facts) -> Heun:
        """The sampler."""
        return Heun(self.steps)
