"""Targets with guidance baked in: what a network learns of them is the guided velocity."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.broadcasting import like
from thalweg.types import Condition, Step


class BakedScale(NamedTuple):
    """The scale of one guidance, and the times at which it acts.

    Attributes:
        scale: 1 is none.
        interval: low and high, both included.
    """

    scale: float
    interval: tuple[float, float]

    @property
    def acts(self) -> bool:
        """Whether it changes anything."""
        return self.scale != 1

    def strength(self, t: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
        """1 - 1 / scale inside the interval, 0 outside."""
        low, high = self.interval
        return torch.where((t >= low) & (t <= high), 1 - 1 / self.scale, 0.0).to(t)


class GuidedTarget:
    """V_g = V + k_i (v - v_b) + (1 - k_i) k_c (v - v_0), k = 1 - 1 / scale of either guidance.

    v is the velocity that learns V_g, v_b that of a weaker head, and v_0 that of v without a condition, all
    without gradients. A velocity equal to its mean target is guided by v_b with the internal scale, and by
    v_0 around that with the classifier-free one, just as the two guidances compose in sampling: without a
    condition v_0 = v_b + s_i (V - v_b), and with one v = v_0 + s_c (w - v_0), w = v_b + s_i (V - v_b). Where
    the condition is hidden, k_c is 0.

    V enters with the coefficient 1, so that the target scatters no more than V itself.

    Args:
        classifier_free: scale of classifier-free guidance.
        internal: scale of guidance away from a head.
        after: depth of that head; None for none.
    """

    def __init__(self, classifier_free: BakedScale, internal: BakedScale, after: int | None) -> None:
        self._classifier_free, self._internal, self.after = classifier_free, internal, after

    @torch.no_grad()
    def __call__(self, step: Step, until: int) -> Float[Tensor, "N *shape"]:
        """The target of the first branch's velocity.

        Args:
            step: whose plan has V.
            until: depth at which the first branch ends.
        """
        plan, condition = step.plan, step.batch.condition
        target, velocity = plan.velocity, step.prediction.velocities[0].float()
        k_i = torch.zeros_like(plan.times[0])
        if self.after is not None and self._internal.acts:
            k_i = self._internal.strength(plan.times[0])
            target = target + like(k_i, velocity) * (velocity - step.prediction.heads[self.after].float())
        if self._classifier_free.acts:
            k_c = (1 - k_i) * self._classifier_free.strength(plan.times[0]) * _shown(condition, k_i)
            hidden = step.network(plan.x_t, plan.times, condition.null(), until=until)
            target = target + like(k_c, velocity) * (velocity - hidden.velocities[0].float())
        return target


def _shown(condition: Condition, of: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    return (~condition.hidden()).to(of)
