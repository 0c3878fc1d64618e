"""Asks the network again within a step: with gradients, for its derivative, and with EMA weights."""

import attrs
import torch
from attrs.validators import ge

import thalweg


@thalweg.register("objective", "curious")
@attrs.frozen
class CuriousConfig:
    """What a consistency between three answers costs.

    Attributes:
        weight: coefficient in the training loss.
    """

    weight: float = attrs.field(default=0.1, validator=ge(0))

    def build(self, facts: thalweg.Facts) -> "Curious":
        """Build it."""
        return Curious(self.weight)


class Curious:
    """|v(t/2) - v|^2 + |v(t/2) + 0.1 dv - u|^2 + |v - averaged v|^2, with dv the derivative along (v, 1)."""

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def __call__(self, step: thalweg.Step) -> thalweg.ObjectiveValue:
        """The three errors of each sample, added."""
        x_t, times, condition = step.plan.x_t, step.plan.times, step.batch.condition
        here = step.prediction.velocities[-1].float()
        earlier = step.network(x_t, 0.5 * times, condition).velocities[-1].float()
        slope = step.network.jvp(x_t, times, condition, here.detach(), torch.ones_like(times))
        tangent = slope.velocities[-1].float()
        averaged = step.averaged(x_t, times, condition).velocities[-1].float()
        errors = {
            "earlier": earlier - here,
            "slope": earlier + 0.1 * tangent - step.plan.velocity,
            "averaged": here - averaged,
        }
        squares = {name: one.square().flatten(1).mean(dim=1) for name, one in errors.items()}
        parts = {name: one.detach().mean() for name, one in squares.items()}
        parts["tangent"] = tangent.square().mean()
        total = torch.stack(list(squares.values())).sum(dim=0)
        return thalweg.ObjectiveValue(total, parts)
