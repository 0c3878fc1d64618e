"""Contrastive flow matching: the velocity keeps away from another sample's target."""

import attrs
import torch
from attrs.validators import ge
from jaxtyping import Bool, Int
from torch import Tensor

from thalweg.broadcasting import sample_mean
from thalweg.facts import Facts
from thalweg.objectives.pairs import check_several
from thalweg.types import ObjectiveValue, Step


@attrs.frozen
class ContrastiveConfig:
    """Minus the squared error of the last velocity to the target of another sample of the batch.

    -|v - V_other|^2 (Stoica et al., Contrastive flow matching, 2025), norms being means over elements.
    V_other is the target of the next sample in the batch, the first one after the last; where samples have
    labels, of the next one of another class. A sample without such a one, as in a batch of a single class,
    adds nothing. A label that is hidden from the network counts all the same. Only samples that a process
    holds at once meet.

    Beside |v - V|^2 the minimiser is (E[V] - weight E[V_other]) / (1 - weight): away from the mean of the
    others, which classifier-free guidance does once more, so a scale that was best without is too large with
    it. A weight as large as that of ``velocity`` has no minimum.

    Attributes:
        weight: coefficient in the training loss.
    """

    weight: float = attrs.field(default=0.05, validator=ge(0))

    def build(self, _: Facts) -> "Contrastive":
        """Build it."""
        return Contrastive(self.weight)


class Contrastive:
    """See :class:`ContrastiveConfig`. Fulfils :class:`thalweg.protocols.Objective`."""

    of_batch = True

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def __call__(self, step: Step) -> ObjectiveValue:
        """The loss of each sample; the part ``paired`` is the share of samples that have another.

        Raises:
            DataError: if a process trains on one sample at once, which has no other.
        """
        target, labels = step.plan.velocity, step.batch.condition.labels
        check_several("contrastive", len(target))
        other_N, paired_N = partners(len(target), labels, target.device)
        velocity = step.prediction.velocities[-1].float()
        losses_N = -sample_mean((velocity - target[other_N]).square()) * paired_N
        return ObjectiveValue(losses_N, {"paired": paired_N.float().mean()})


def partners(
    count: int, labels: Int[Tensor, " N"] | None, device: torch.device
) -> tuple[Int[Tensor, " N"], Bool[Tensor, " N"]]:
    """For each sample the next one, of another label where there are some, and whether there is one.

    Args:
        count: of samples.
        labels: of each; None where there are none.
        device: of what is returned.
    """
    places_N = torch.arange(count, device=device)
    ahead_NN = (places_N[None, :] - places_N[:, None]) % count
    allowed_NN = ahead_NN > 0
    if labels is not None:
        allowed_NN = allowed_NN & (labels[None, :] != labels[:, None])
    return ahead_NN.masked_fill(~allowed_NN, count).argmin(dim=1), allowed_NN.any(dim=1)
