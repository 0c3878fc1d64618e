"""Samples of a batch push each other apart (apart): log mean_ij exp(-|z_i - z_j|^2 / (dim tau))."""

import math

import attrs
import torch
from attrs.validators import ge, gt

import thalweg


@thalweg.register("objective", "apart")
@attrs.frozen
class ApartConfig:
    """A loss of the batch: hidden states of its samples shall lie apart.

    Attributes:
        weight: coefficient in the training loss.
        tau: temperature.
    """

    weight: float = attrs.field(default=0.5, validator=ge(0))
    tau: float = attrs.field(default=0.5, validator=gt(0))

    def build(self, facts: thalweg.Facts) -> "Apart":
        """Read at a quarter of the depth."""
        return Apart(self, max(1, facts.depth // 4))


class Apart:
    """See :class:`ApartConfig`."""

    of_batch = True

    def __init__(self, config: ApartConfig, depth: int) -> None:
        self.weight, self.tau, self.hidden = config.weight, config.tau, (depth,)

    def __call__(self, step: thalweg.Step) -> thalweg.ObjectiveValue:
        """One number: zero if all samples are alike, and the lower the further they are apart."""
        z = step.prediction.hidden[self.hidden[0]].float().flatten(1)
        # By products, whose gradient is finite where two samples coincide, as each does with itself.
        squares = z.square().sum(dim=1)
        distances = (squares[:, None] + squares[None] - 2 * z @ z.T).clamp_min(0) / z.shape[1]
        total = torch.logsumexp((-distances / self.tau).flatten(), dim=0) - 2 * math.log(len(z))
        return thalweg.ObjectiveValue(total)
