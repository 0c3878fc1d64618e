"""Dispersive: hidden states of a batch's samples push each other apart."""

import math

import attrs
import torch
from attrs.validators import ge, gt, optional

from thalweg.facts import Facts
from thalweg.objectives.pairs import check_several
from thalweg.objectives.places import depth_of, share_of
from thalweg.types import ObjectiveValue, Step

_SHARE = 1 / 4


@attrs.frozen
class DispersiveConfig:
    """Log of the mean over pairs of exp(-d), d the squared distance of two samples' hidden states.

    log mean_ij exp(-|z_i - z_j|^2 / (dim tau)), z the tokens after some block as one vector of ``dim``
    elements; pairs of a sample with itself count (Wang and He, Diffuse and disperse, 2025, the InfoNCE
    variant with squared distances). It is one number a batch, of the samples that a process holds at once: 0
    where all are alike, and no lower than minus the log of their number. To train on one sample at once is
    refused.

    Attributes:
        weight: coefficient in the training loss.
        tau: temperature; distances that are small beside it push the most.
        after: number of blocks after which tokens are read; ``none`` is a quarter of the depth.
    """

    weight: float = attrs.field(default=0.5, validator=ge(0))
    tau: float = attrs.field(default=0.5, validator=gt(0))
    after: int | None = attrs.field(default=None, validator=optional(ge(1)))

    def build(self, facts: Facts) -> "Dispersive":
        """Build it.

        Raises:
            ConfigError: if the network has no such depth.
        """
        default = share_of(facts.depth, _SHARE)
        return Dispersive(self, depth_of(self.after, default, facts, "objectives.dispersive.after"))


class Dispersive:
    """See :class:`DispersiveConfig`. Fulfils :class:`thalweg.protocols.Objective`.

    Attributes:
        hidden: number of blocks after which it reads.
    """

    of_batch = True

    def __init__(self, config: DispersiveConfig, after: int) -> None:
        self.weight, self._tau, self.hidden = config.weight, config.tau, (after,)

    def __call__(self, step: Step) -> ObjectiveValue:
        """The loss of the batch; its part is the mean squared distance of two samples by ``dim``.

        Raises:
            DataError: if a process trains on one sample at once, which nothing pushes.
        """
        z_ND = step.prediction.hidden[self.hidden[0]].float().flatten(1)
        check_several("dispersive", len(z_ND))
        # Less their mean, for distances are small differences of products, which leave a mean out in theory
        # alone; products, since the gradient of a norm is not finite where two samples coincide.
        z_ND = z_ND - z_ND.mean(dim=0)
        squares_N = z_ND.square().sum(dim=1)
        squares_NN = (squares_N[:, None] + squares_N - 2 * z_ND @ z_ND.T).clamp_min(0)
        # Of a sample to itself it is 0, whatever rounding makes of it.
        distances_NN = squares_NN * (1 - torch.eye(len(z_ND), device=z_ND.device)) / z_ND.shape[1]
        total = torch.logsumexp((-distances_NN / self._tau).flatten(), dim=0) - 2 * math.log(len(z_ND))
        return ObjectiveValue(total, {"distance": distances_NN.detach().mean()})
