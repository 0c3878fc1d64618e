"""The Euler-Maruyama method for the reverse-time SDE: the protocol of DeepFlow's tables."""

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


class EulerMaruyama:
    """dx = (v - w/2 score) dt + sqrt(w) dW backwards in time, with w(t) = 2t.

    For every w >= 0 this SDE has the marginals of the probability-flow ODE (Ma et al. 2024, SiT). The times
    run evenly from 1 to ``last``, and one step of the drift without noise leads from there to 0.

    Args:
        steps: evaluations; steps - 1 of them draw noise.
        last: the time at which the noise ends.

    Raises:
        ConfigError: an option makes no sense.
    """

    def __init__(self, steps: int = 250, last: float = 0.04) -> None:
        options = checked(EulerMaruyamaConfig, steps=steps, last=last)
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

        def drift(x: Tensor, t: float) -> Tensor:
            times_N = times_of(t, x)
            v = velocity_at(velocity, x, times_N)
            # w/2 = t
            return v - t * path.score(x, v.to(x), times_N)

        for step, (now, then) in enumerate(pairwise(uniform_times(1.0, self.last, self.steps))):
            noise = math.sqrt(2 * now * (now - then)) * increment_at(draws, step, x)
            x = x + (then - now) * drift(x, now) + noise
        return x - self.last * drift(x, self.last)


@attrs.frozen
class EulerMaruyamaConfig:
    """The Euler-Maruyama method for the reverse-time SDE with w(t) = 2t.

    Attributes:
        steps: steps from noise to data, the last of them without noise; each costs one evaluation of
            the network.
        last: the time from which the last step leads to 0.
    """

    steps: int = attrs.field(default=250, validator=[attrs.validators.ge(2), attrs.validators.le(100_000)])
    last: float = attrs.field(default=0.04, validator=[attrs.validators.gt(0), attrs.validators.lt(1)])

    def build(self, _: Facts) -> EulerMaruyama:
        """The sampler."""
        return EulerMaruyama(self.steps, self.last)
