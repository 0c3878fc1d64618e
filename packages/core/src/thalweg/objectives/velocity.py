"""Flow matching with deep supervision: the error of every branch's velocity."""

from collections.abc import Mapping, Sequence

import attrs
import torch
from attrs.validators import deep_iterable, ge
from jaxtyping import Float
from torch import Tensor

from thalweg.broadcasting import sample_mean
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.types import ObjectiveValue, Plan, Prediction, Step


@attrs.frozen
class VelocityConfig:
    """Squared error of every branch's velocity (DeepFlow, equations 3 to 5), and of every other head's.

    Attributes:
        weight: coefficient in the training loss.
        beta: coefficient of every intermediate branch; the last one's is 1. (The paper prints
            beta^i: a coefficient per branch, not a power.)
        heads: coefficient of every head that ends no branch, against the same target. (Internal-Guidance,
            CVPR 2026, takes 0.5.)
        only: numbers of blocks after which the heads stand that alone count, and no branch; empty for all.
            The network's blocks behind the deepest of them are not evaluated then.
    """

    weight: float = attrs.field(default=1.0, validator=ge(0))
    beta: float = attrs.field(default=0.2, validator=ge(0))
    heads: float = attrs.field(default=0.5, validator=ge(0))
    only: tuple[int, ...] = attrs.field(default=(), converter=tuple, validator=deep_iterable(ge(1)))

    def build(self, facts: Facts) -> "Velocity":
        """Build it.

        Raises:
            ConfigError: the network has no such head as ``only`` names.
        """
        for depth in self.only:
            if depth not in facts.head_depths:
                there = ", ".join(map(str, facts.head_depths)) or "no depth"
                raise ConfigError(
                    f"the objective velocity is to count the head after {depth} blocks only, and the network "
                    f"has heads that end no branch after {there}; take one of these, or leave out only"
                )
        return Velocity(self.weight, self.beta, self.heads, facts.head_depths, self.only)


class Velocity:
    """See :class:`VelocityConfig`. Fulfils :class:`thalweg.protocols.Objective`.

    Attributes:
        until: the number of blocks behind which it reads nothing; None if it reads all heads.
    """

    def __init__(
        self,
        weight: float,
        beta: float,
        heads: float = 0.5,
        head_depths: tuple[int, ...] = (),
        only: tuple[int, ...] = (),
    ) -> None:
        self.weight, self.beta, self.heads = weight, beta, heads
        self.head_depths, self.until = only or head_depths, max(only, default=None)

    def __call__(self, step: Step) -> ObjectiveValue:
        """sum_i beta_i mean((v_i - V)^2) + heads sum_j mean((v_j - V)^2), means over a sample's elements.

        Where certain heads alone count, the first sum is left out.
        """
        counted = step.prediction if self.until is None else step.prediction._replace(velocities=())
        betas = [*(len(counted.velocities) - 1) * [self.beta], *len(counted.velocities[-1:]) * [1.0]]
        errors = velocity_errors(counted, step.plan, self.head_depths)
        return weighted(errors, [*betas, *len(self.head_depths) * [self.heads]])


def velocity_errors(
    prediction: Prediction, plan: Plan, head_depths: tuple[int, ...] = ()
) -> dict[str, Float[Tensor, " N"]]:
    """mean((v - V)^2) over a sample's elements: ``branch_1`` to ``branch_k``, then ``head_<depth>``."""
    read = {f"branch_{index + 1}": velocity for index, velocity in enumerate(prediction.velocities)}
    read |= {f"head_{depth}": prediction.heads[depth] for depth in head_depths}
    return {name: sample_mean((one.float() - plan.velocity).square()) for name, one in read.items()}


def weighted(
    errors: Mapping[str, Float[Tensor, " N"]], coefficients: Sequence[float | Float[Tensor, ""]]
) -> ObjectiveValue:
    """Their sum with a coefficient for each, and the mean of each as a part."""
    terms = [one * error_N for one, error_N in zip(coefficients, errors.values(), strict=True)]
    parts = {name: error_N.detach().mean() for name, error_N in errors.items()}
    return ObjectiveValue(torch.stack(terms).sum(dim=0), parts)
