"""Flow matching with deep supervision: the error of every branch's velocity."""

import attrs
import torch
from attrs.validators import ge

from thalweg.broadcasting import sample_mean
from thalweg.facts import Facts
from thalweg.types import ObjectiveValue, Step


@attrs.frozen
class VelocityConfig:
    """Squared error of every branch's velocity (DeepFlow, equations 3 to 5).

    Attributes:
        weight: coefficient in the training loss.
        beta: coefficient of every intermediate branch; the last one's is 1. (The paper prints
            beta^i: a coefficient per branch, not a power.)
    """

    weight: float = attrs.field(default=1.0, validator=ge(0))
    beta: float = attrs.field(default=0.2, validator=ge(0))

    def build(self, facts: Facts) -> "Velocity":  # noqa: ARG002 - it depends on no fact
        """Build it."""
        return Velocity(self.weight, self.beta)


class Velocity:
    """See :class:`VelocityConfig`. Fulfils :class:`thalweg.protocols.Objective`."""

    def __init__(self, weight: float, beta: float) -> None:
        self.weight, self.beta = weight, beta

    def __call__(self, step: Step) -> ObjectiveValue:
        """sum_i beta_i mean((v_i - V)^2), the mean over a sample's elements."""
        errors_kN = torch.stack(
            [sample_mean((v.float() - step.plan.velocity).square()) for v in step.prediction.velocities]
        )
        betas_k = torch.full((len(errors_kN),), self.beta, device=errors_kN.device)
        betas_k[-1] = 1.0
        means_k = errors_kN.detach().mean(dim=1)
        parts = {f"branch_{index + 1}": mean for index, mean in enumerate(means_k)}
        return ObjectiveValue((betas_k[:, None] * errors_kN).sum(dim=0), parts)
