"""Flow matching with deep supervision whose branches are weighted by how their gradients agree with the last.

An auxiliary loss weighted by the cosine of its gradient with the main one's, where that is above zero, is
from Y. Du et al., Adapting auxiliary losses using gradient similarity, 2018, arXiv:1812.02224; across depth
it is not from a paper.
"""

from collections.abc import Mapping

import attrs
import torch
from attrs.validators import and_, ge, lt
from jaxtyping import Float
from torch import Tensor, distributed, nn

from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.objectives.velocity import velocity_errors, weighted
from thalweg.types import ObjectiveValue, Prediction, Step


@attrs.frozen
class ConflictVelocityConfig:
    """Squared error of every velocity, the intermediate ones as far as they help the last one.

    beta_i = max(0, m_i), with m_i a moving average of cos(g_i, g): g_i is the gradient of the mean error of
    branch i, and g that of the last one, by the weights that both depend on. A branch that pulls these
    elsewhere than the last one does is left out until it no longer does. So is a head of its own with
    ``detach_heads = false``; one on detached tokens shares no weights and keeps its coefficient.

    A measurement counts from the step after it; one in which a gradient is zero, as at the start behind a
    read-out that is zero, does not count. It costs a backward pass for each velocity, and where the network
    is compiled a forward pass with its memory. Weights must not be sharded: --strategy fsdp is refused.

    Attributes:
        weight: coefficient in the training loss.
        beta: coefficient of every intermediate branch before the first measurement; the last one's is 1.
        heads: coefficient of every head that ends no branch, before the first measurement.
        every: steps from one measurement to the next.
        decay: of the moving average, m <- decay m + (1 - decay) cos; at 0 the newest cosine alone counts.
    """

    weight: float = attrs.field(default=1.0, validator=ge(0))
    beta: float = attrs.field(default=0.2, validator=ge(0))
    heads: float = attrs.field(default=0.5, validator=ge(0))
    every: int = attrs.field(default=20, validator=ge(1))
    decay: float = attrs.field(default=0.9, validator=and_(ge(0), lt(1)))

    def build(self, facts: Facts) -> "ConflictVelocity":
        """Build it.

        Raises:
            ConfigError: if no velocity is read before the last one.
        """
        if facts.branches == 1 and not facts.head_depths:
            raise ConfigError(
                "objectives.conflict_velocity weights intermediate velocities and the network has none; set "
                "branches above 1 or heads, or take the objective velocity"
            )
        return ConflictVelocity(self, facts.branches, facts.head_depths)


class ConflictVelocity(nn.Module):
    """See :class:`ConflictVelocityConfig`. Fulfils :class:`thalweg.protocols.Objective`.

    Its state is in buffers, which are saved with a run and are alike on all processes.
    """

    needs_gradients = True
    cosines: Tensor
    sums: Tensor
    of_step: Tensor

    def __init__(self, config: ConflictVelocityConfig, branches: int, head_depths: tuple[int, ...]) -> None:
        super().__init__()
        self.weight, self.every, self.decay = config.weight, config.every, config.decay
        self.branches, self.head_depths = branches, head_depths
        first = (branches - 1) * [config.beta] + len(head_depths) * [config.heads]
        # The cosines are averaged, and not what is left of them above zero: those of noise cancel.
        self.register_buffer("cosines", torch.tensor(first, dtype=torch.float32))
        # Of the newest step, sums of what was measured in its micro-batches, and how often.
        self.register_buffer("sums", torch.zeros(2, len(first)))
        self.register_buffer("of_step", torch.tensor(-1))

    @property
    def betas(self) -> Float[Tensor, " m"]:
        """The coefficients of the intermediate branches, then of the other heads."""
        return self.cosines.clamp(min=0)

    def forward(self, step: Step) -> ObjectiveValue:
        """sum_i beta_i mean((v_i - V)^2), means over a sample's elements; beta is 1 for the last branch."""
        training = self.training and torch.is_grad_enabled()
        if training:
            self._settle(step.number)
        betas, last = self.betas, self.branches - 1
        errors = velocity_errors(step.prediction, step.plan, self.head_depths)
        value = weighted(errors, [*betas[:last], 1.0, *betas[last:]])
        if training and step.number % self.every == 0:
            self._measure(step)
        names = [*range(1, self.branches), *(f"head_{depth}" for depth in self.head_depths)]
        parts = {f"beta_{name}": beta for name, beta in zip(names, betas, strict=True)}
        return ObjectiveValue(value.total, {**value.parts, **parts})

    @torch.no_grad()
    def _settle(self, number: int) -> None:
        """Take in what the step before measured; all micro-batches of a step have the same coefficients."""
        another = self.of_step != number
        total, count = self.sums
        moved = self.decay * self.cosines + (1 - self.decay) * total / count.clamp(min=1)
        self.cosines.copy_(torch.where(another & (count > 0), moved, self.cosines))
        self.sums.masked_fill_(another, 0.0)
        self.of_step.fill_(number)

    def _measure(self, step: Step) -> None:
        def errors(prediction: Prediction) -> list[Tensor]:
            read = velocity_errors(prediction, step.plan, self.head_depths)
            last = read.pop(f"branch_{self.branches}")
            return [one.mean() for one in (last, *read.values())]

        gradients = step.network.gradients(step, errors)
        last = next(gradients)
        cosines = torch.stack([cosine(one, last).to(self.sums) for one in gradients])
        counts = torch.isfinite(cosines)
        found = torch.stack([torch.where(counts, cosines, 0.0), counts.to(cosines)])
        # (Before a run the loss is tried on the CPU, of whose tensors NCCL takes none.)
        together = distributed.is_available() and distributed.is_initialized()
        if together and not (found.device.type == "cpu" and distributed.get_backend() == "nccl"):
            distributed.all_reduce(found)
        self.sums += found


def cosine(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> Float[Tensor, ""]:
    """Of two gradients, in the space of the weights that both know; not a number if one is zero there."""
    pairs = [(one[name].float(), other[name].float()) for name in one if name in other]
    if not pairs:
        return torch.tensor(float("nan"))
    product = torch.stack([(a * b).sum() for a, b in pairs]).sum()
    norms = [torch.stack([a.square().sum() for a in side]).sum().sqrt() for side in zip(*pairs, strict=True)]
    return product / norms[0] / norms[1]
