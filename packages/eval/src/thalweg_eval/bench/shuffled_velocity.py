"""A control of benches: flow matching towards other samples' targets, which must come last."""

import attrs
from attrs.validators import ge

from thalweg.broadcasting import sample_mean
from thalweg.facts import Facts
from thalweg.types import ObjectiveValue, Step


@attrs.frozen
class ShuffledVelocityConfig:
    """Squared error of every velocity to the target of the batch's next sample: broken on purpose.

    mean((v_i - V')^2) summed over the heads, with V' the targets moved on by one sample. All that its network
    can learn of images is their mean; a protocol that does not put it last cannot tell methods apart.

    Attributes:
        weight: coefficient in the training loss.
    """

    weight: float = attrs.field(default=1.0, validator=ge(0))

    def build(self, _: Facts) -> "ShuffledVelocity":
        """Build it."""
        return ShuffledVelocity(self.weight)


class ShuffledVelocity:
    """See :class:`ShuffledVelocityConfig`. Fulfils :class:`thalweg.protocols.Objective`."""

    of_batch = True

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def __call__(self, step: Step) -> ObjectiveValue:
        """The mean over the batch."""
        target, prediction = step.plan.velocity.roll(1, 0), step.prediction
        heads = [*prediction.heads.values(), prediction.velocities[-1]]
        errors = [sample_mean((velocity.float() - target).square()).mean() for velocity in heads]
        return ObjectiveValue(sum(errors, start=errors[0].new_zeros(())))
