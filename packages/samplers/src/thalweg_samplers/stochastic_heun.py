"""Heun's method for the reverse-time SDE."""

import math
from itertools import pairwise

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.types import Increments, VelocityField
from thalweg_samplers.options import checked
from thalweg_samplers.times import increment_at, path_of, state, times_of, uniform_times, velocity_at


class StochasticHeun:
    """dx = (v - w/2 score) dt + sqrt(w) dW backwards in time with w(t) = 2t, by Heun's method.

    The SDE of :class:`thalweg_samplers.EulerMaruyama`. From t to t - h, with one draw z a step and b the
    drift:

        n = sqrt(t^2 - (t - h)^2) z,   y = x - h b(x, t) + n,   x <- x - h/2 (b(x, t) + b(y, t - h)) + n.

    n has the variance of the SDE's noise over the step exactly. As w does not depend on x, the method is of
    weak order 2 (Kloeden & Platen 1992, section 15.1: the explicit scheme of order 2, whose other terms
    vanish then) and of strong order 1 in n. The times run evenly from 1 to ``last``. There w becomes 0, and
    one Euler step of the probability-flow ODE, which has the same marginals, leads to 0: no score is
    evaluated on clean data. Both slopes of a step belong to the field in which it begins.

    Args:
        steps: the last of them costs one evaluation, the others two; steps - 1 of them draw noise.
        last: the time at which the noise ends.

    Raises:
        ConfigError: an option makes no sense.
    """

    def __init__(self, steps: int = 50, last: float = 0.04) -> None:
        options = checked(StochasticHeunConfig, steps=steps, last=last)
        self.steps, self.last = options.steps, options.last

    def __call__(
        self,
        velocity: VelocityField,
        x_1: Float[Tensor, "N *shape"],
        increments: Increments | None = None,
        interpolant: Interpolant | None = None,
    ) -> Float[Tensor, "N *shape"]:
        """x_0 in float64.

        Args:
            velocity: the field.
            x_1: noise.
            increments: asked for steps - 1 of them; torch's standard normal draws by default.
            interpolant: the path of the field, which the score is taken from; linear by default.
        """
        path, x = path_of(interpolant), state(x_1)
        draws: Increments = (lambda _: torch.randn_like(x)) if increments is None else increments
        during = getattr(velocity, "during", None)

        def drift(field: VelocityField, x: Tensor, t: float) -> Tensor:
            times_N = times_of(t, x)
            v = velocity_at(field, x, times_N)
            # w/2 = t
            return v - t * path.score(x, v.to(x), times_N)

        for step, (now, then) in enumerate(pairwise(uniform_times(1.0, self.last, self.steps))):
            field = velocity if during is None else during(times_of(now, x))
            size = now - then
            noise = math.sqrt(size * (now + then)) * increment_at(draws, step, x)
            slope = drift(field, x, now)
            predicted = x - size * slope + noise
            x = x - 0.5 * size * (slope + drift(field, predicted, then)) + noise
        return x - self.last * velocity_at(velocity, x, times_of(self.last, x))


@attrs.frozen
class StochasticHeunConfig:
    """Heun's method for the reverse-time SDE with w(t) = 2t, of weak order 2.

    Attributes:
        steps: steps from noise to data, the last of them without noise; they cost 2 steps - 1 evaluations of
            the network.
        last: the time from which the last step leads to 0.
    """

    steps: int = attrs.field(default=50, validator=[attrs.validators.ge(2), attrs.validators.le(100_000)])
    last: float = attrs.field(default=0.04, validator=[attrs.validators.gt(0), attrs.validators.lt(1)])

    def build(self, _: Facts) -> StochasticHeun:
        """The sampler."""
        return StochasticHeun(self.steps, self.last)
