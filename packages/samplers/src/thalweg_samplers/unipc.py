"""UniPC for the probability-flow ODE: a multistep predictor with a corrector that costs no evaluation."""

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


class UniPC:
    """A predictor through p predictions of clean data, and a corrector through one more (Zhao et al. 2023).

    x_t = (sigma_t / sigma_s) x_s + alpha_t ((1 - e^-h) D_s + sum_m a_m (D_m - D_s)), where the a_m are exact
    for polynomials in lambda = log(alpha / sigma), or with a single D_m as B(h) = e^h - 1 gives it. The
    predictor passes through the last p values of D. The step is then taken again with the value at its end
    too, which is the evaluation that the next step needs anyway.

    lambda is infinite at t = 1 and t = 0: the first step and the last are of first order, x_t = sigma_t x_1
    + alpha_t D_1 and x_0 = D_s, and are not corrected. The step before the last, the widest in lambda on
    equal steps in t, is predicted with p = 2. Guidance that jumps begins the history anew, and the step on
    which it jumps is not corrected either.

    Between fixed ``ends`` states converge with order p + 1. On equal steps in t the order is 2 whatever p
    is, since next to noise and data the steps in lambda do not shrink with their number.

    Args:
        steps: evaluations.
        predictor_order: p, 2 or 3.
        spacing: whether the times between ``ends`` are even in t or in lambda.
        ends: the times at which the first step ends and the last begins; None for where they do with equal
            steps in t.

    Raises:
        ConfigError: an option makes no sense.
    """

    order = 2
    """Of convergence, on equal steps in t."""

    def __init__(
        self,
        steps: int = 25,
        predictor_order: int = 2,
        spacing: Spacing = "t",
        ends: Ends | None = None,
    ) -> None:
        options = checked(
            UniPCConfig, steps=steps, predictor_order=predictor_order, spacing=spacing, ends=ends
        )
        self.steps, self.predictor_order = options.steps, options.predictor_order
        self.spacing, self.ends = options.spacing, options.ends

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
        points = path_points(path, self.steps, self.spacing, self.ends)
        before, history = x, list[Known]()
        for now, then in pairwise(points):
            known = (now, clean_at(jumps.field(now.t, then.t, x), x, now.t, path))
            if history and jumps.between(history[0][0].t, now.t):
                history = []
            elif history and history[0][0].alpha > 0:
                x = advanced(before, history[0], now, [*history[1:], known])
            history = [known, *history][: self.predictor_order]
            order = 2 if then == points[-2] else self.predictor_order
            before, x = x, advanced(x, known, then, history[1:order])
        return x


@attrs.frozen
class UniPCConfig:
    """UniPC, a multistep predictor-corrector in the half-log-SNR, for the probability-flow ODE.

    Attributes:
        steps: from noise to data; each costs one evaluation of the network.
        predictor_order: how many predictions of clean data the predictor passes through, 2 or 3.
        spacing: whether the times between ``ends`` are even in ``t`` or in ``lambda``, the half-log-SNR.
        ends: the times at which the first step ends and the last begins; none for where they do with equal
            steps in t.
    """

    steps: int = attrs.field(default=25, validator=[attrs.validators.ge(1), attrs.validators.le(100_000)])
    predictor_order: int = attrs.field(default=2, validator=[attrs.validators.ge(2), attrs.validators.le(3)])
    spacing: Spacing = attrs.field(default="t", validator=attrs.validators.in_(("t", "lambda")))
    ends: Ends | None = attrs.field(
        default=None, converter=attrs.converters.optional(tuple), validator=check_ends
    )

    def build(self, _: Facts) -> UniPC:
        """The sampler."""
        return UniPC(self.steps, self.predictor_order, self.spacing, self.ends)
