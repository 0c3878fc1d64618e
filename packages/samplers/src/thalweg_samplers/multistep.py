"""A second-order multistep method for the probability-flow ODE, in the manner of DPM-Solver++(2M)."""

from itertools import pairwise

import attrs
from jaxtyping import Float
from torch import Tensor

from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.types import Increments, VelocityField
from thalweg_samplers.exponential import Known, advanced, clean_at
from thalweg_samplers.jumps import Jumps
from thalweg_samplers.options import checked
from thalweg_samplers.path_points import Ends, Spacing, check_ends, path_points
from thalweg_samplers.times import path_of, state


class Multistep:
    """x_t = (sigma_t / sigma_s) x_s + alpha_t (1 - e^-h) (D_s + h / (2 h') (D_s - D_s')).

    D is the clean-data prediction, s' the evaluation before, lambda = log(alpha / sigma), h = lambda_t -
    lambda_s and h' = lambda_s - lambda_s' (Lu et al. 2022, DPM-Solver++, algorithm 2), on any path. It is
    exact where D is constant. One evaluation a step, the last at the time at which the last step begins.

    lambda is infinite at t = 1 and t = 0. The first two steps and the last therefore are of first order, in
    the limits of the formula: x_t = sigma_t x_1 + alpha_t D_1 and x_0 = D_s. Guidance that jumps begins the
    history anew. Between fixed ``ends`` the error falls with order 2. On equal steps in t it falls
    as log(steps) / steps^2, since next to noise and data h does not shrink with the number of steps.

    Args:
        steps: evaluations.
        spacing: whether the times between ``ends`` are even in t or in lambda.
        ends: the times at which the first step ends and the last begins; None for where they do with equal
            steps in t.

    Raises:
        ConfigError: an option makes no sense.
    """

    def __init__(self, steps: int = 25, spacing: Spacing = "t", ends: Ends | None = None) -> None:
        options = checked(MultistepConfig, steps=steps, spacing=spacing, ends=ends)
        self.steps, self.spacing, self.ends = options.steps, options.spacing, options.ends

    def __call__(
        self,
        velocity: VelocityField,
        x_1: Float[Tensor, "N *shape"],
        increments: Increments | None = None,  # noqa: ARG002 - the ODE is deterministic
        interpolant: Interpolant | None = None,
    ) -> Float[Tensor, "N *shape"]:
        """x_0 in float64.

        Args:
            velocity: the field.
            x_1: noise.
            increments: not asked for.
            interpolant: the path of the field; linear by default.
        """
        path, x, jumps = path_of(interpolant), state(x_1), Jumps(velocity)
        history: list[Known] = []
        for now, then in pairwise(path_points(path, self.steps, self.spacing, self.ends)):
            if history and jumps.between(history[0][0].t, now.t):
                history = []
            known = (now, clean_at(jumps.field(now.t, then.t, x), x, now.t, path))
            x = advanced(x, known, then, history)
            history = [known]
        return x


@attrs.frozen
class MultistepConfig:
    """A second-order multistep method in the half-log-SNR, as DPM-Solver++(2M), for the probability-flow ODE.

    Attributes:
        steps: from noise to data; each costs one evaluation of the network.
        spacing: whether the times between ``ends`` are even in ``t`` or in ``lambda``, the half-log-SNR.
        ends: the times at which the first step ends and the last begins, both of first order; none for where
            they do with equal steps in t.
    """

    steps: int = attrs.field(default=25, validator=[attrs.validators.ge(1), attrs.validators.le(100_000)])
    spacing: Spacing = attrs.field(default="t", validator=attrs.validators.in_(("t", "lambda")))
    ends: Ends | None = attrs.field(
        default=None, converter=attrs.converters.optional(tuple), validator=check_ends
    )

    def build(self, _: Facts) -> Multistep:
        """The sampler."""
        return Multistep(self.steps, self.spacing, self.ends)
