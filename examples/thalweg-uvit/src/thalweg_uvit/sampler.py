"""The two-step Adams-Bashforth method for the probability-flow ODE.

From t = 1 (noise) to t = 0 (data) in equal steps h = -1 / steps. The line through the last two slopes
is integrated over the next step,

    x_{n+1} = x_n + h (3 f_n - f_{n-1}) / 2

so that second order costs one evaluation a step, where Heun's method and the midpoint rule take two.
The first step has no slope before it, and is one of the midpoint rule. So is the first one after a time
at which the field jumps, as guidance within an interval makes it do: the slope before belongs to
another field.
"""

from itertools import pairwise

import attrs
import torch
from torch import Tensor

from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.types import Increments, VelocityField

# A time of the grid such as 1 - 28 / 40 misses 0.3 by a rounding error.
_ROUNDING = 1e-9


@attrs.frozen
class AdamsBashforthConfig:
    """The two-step Adams-Bashforth method for the probability-flow ODE.

    Attributes:
        steps: equal steps from noise to data; they cost steps + 1 evaluations of the network, and at most two
            more for each time at which guidance sets in or ends.
    """

    steps: int = attrs.field(default=50, validator=attrs.validators.ge(1))

    def build(self, facts: Facts) -> "AdamsBashforth":
        """Build it; it depends on no fact."""
        return AdamsBashforth(self.steps)


class AdamsBashforth:
    """See :class:`AdamsBashforthConfig`."""

    order = 2
    """Of convergence."""

    def __init__(self, steps: int = 50) -> None:
        self.steps = steps

    def __call__(
        self,
        velocity: VelocityField,
        x_1: Tensor,
        increments: Increments | None = None,
        interpolant: Interpolant | None = None,
    ) -> Tensor:
        """x_0 in float64 from x_1 of any shape (N, ...). Times are float64 on the CPU, one a sample."""
        x = x_1.double()
        during = getattr(velocity, "during", None)
        breaks = tuple(getattr(velocity, "breaks", ()))
        times = torch.linspace(1.0, 0.0, self.steps + 1, dtype=torch.float64).tolist()
        before, earlier = None, 1.0
        for now, then in pairwise(times):
            t_N = torch.full((len(x),), now, dtype=torch.float64)
            # All stages of a step see the field on one side of a jump.
            field = velocity if during is None else during(t_N)
            slope = field(x, t_N)
            h = then - now
            if before is None or any(now - _ROUNDING <= jump <= earlier + _ROUNDING for jump in breaks):
                middle = torch.full_like(t_N, now + h / 2)
                x = x + h * field(x + h / 2 * slope, middle)
            else:
                x = x + h * (3 * slope - before) / 2
            before, earlier = slope, now
        return x
