"""Distillation within a network: intermediate heads learn from the last head of its EMA weights."""

import attrs
import torch
from attrs.validators import ge, optional

from thalweg.broadcasting import sample_mean
from thalweg.facts import Facts
from thalweg.objectives.places import weak_heads_of
from thalweg.types import ObjectiveValue, Step


@attrs.frozen
class DistillationConfig:
    """Squared error of intermediate heads to the last head's velocity under EMA weights.

    sum_i |v_i - sg v_f|^2, v_f of the network with its EMA weights at the same x_t, times and condition,
    norms being means over elements. V scatters around what any head can know of it; v_f does not, but has an
    error of its own. It is one more forward pass a step, without gradients. The last head learns nothing of
    it, so it stands beside the objective ``velocity``.

    Attributes:
        weight: coefficient in the training loss.
        after: depth of the head that learns; ``none`` takes all intermediate ones.
    """

    weight: float = attrs.field(default=0.2, validator=ge(0))
    after: int | None = attrs.field(default=None, validator=optional(ge(1)))

    def build(self, facts: Facts) -> "Distillation":
        """Build it.

        Raises:
            ConfigError: if the network has no intermediate head, or none after that depth.
        """
        return Distillation(self.weight, weak_heads_of(self.after, facts, "objectives.distillation"))


class Distillation:
    """See :class:`DistillationConfig`. Fulfils :class:`thalweg.protocols.Objective`.

    Attributes:
        after: depths of the heads that learn.
    """

    def __init__(self, weight: float, after: tuple[int, ...]) -> None:
        self.weight, self.after = weight, after

    def __call__(self, step: Step) -> ObjectiveValue:
        """The loss of each sample; of several heads the error of each is a part."""
        plan = step.plan
        taught = step.averaged(plan.x_t, plan.times, step.batch.condition, last_only=True)
        target = taught.velocities[-1].float()
        errors_HN = torch.stack(
            [sample_mean((step.prediction.heads[depth].float() - target).square()) for depth in self.after]
        )
        means_H = errors_HN.detach().mean(dim=1)
        parts = {f"after_{depth}": mean for depth, mean in zip(self.after, means_H, strict=True)}
        return ObjectiveValue(errors_HN.sum(dim=0), parts if len(parts) > 1 else {})
