"""Acceleration: each intermediate branch must reach the data with a second-order step."""

import attrs
import torch
from attrs.validators import ge

from thalweg.broadcasting import like, sample_mean
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.types import ObjectiveValue, Step

READOUT = "acceleration"
"""What the refiner calls the features that it is read from."""


@attrs.frozen
class AccelerationConfig:
    """Squared error of the second-order step from each branch's time to the data (equation 7).

    Its minimiser is a* = 2 (E[x_0 | x_t] - x_t + t v) / t^2, a corrector of the residual of v: zero
    where v is exact, and not dv/dt, so no sampler may use it as a second derivative.

    Attributes:
        weight: coefficient in the training loss, lambda in equation 10.
    """

    weight: float = attrs.field(default=1.0, validator=ge(0))

    def build(self, facts: Facts) -> "Acceleration":
        """Build it.

        Raises:
            ConfigError: if the network has one branch, or a refiner without such a read-out.
        """
        if facts.branches == 1:
            raise ConfigError(
                "objectives.acceleration needs intermediate branches and the network has one; "
                "set branches above 1 or leave the objective out"
            )
        if READOUT not in facts.readouts:
            raise ConfigError(
                "objectives.acceleration needs a refiner with a read-out 'acceleration', such as vera with "
                "acceleration = true; change the refiner or leave the objective out"
            )
        return Acceleration(self.weight)


class Acceleration:
    """See :class:`AccelerationConfig`. Fulfils :class:`thalweg.protocols.Objective`."""

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def __call__(self, step: Step) -> ObjectiveValue:
        """sum_i mean((x_{t_i} + v_i d + a_i d^2 / 2 - x_0)^2) with d = -t_i and v_i detached."""
        plan, errors = step.plan, []
        for branch, acceleration in enumerate(step.prediction.readouts[READOUT]):
            gap = -like(plan.times[branch], plan.clean)
            velocity = step.prediction.velocities[branch].detach().float()
            reached = plan.x_at(branch) + velocity * gap + acceleration.float() * gap.square() / 2
            errors.append(sample_mean((reached - plan.clean).square()))
        errors_kN = torch.stack(errors)
        means_k = errors_kN.detach().mean(dim=1)
        parts = {f"branch_{index + 1}": mean for index, mean in enumerate(means_k)}
        return ObjectiveValue(errors_kN.sum(dim=0), parts)
