"""The weighted sum of all objectives, as the one module that is wrapped for distribution."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from thalweg.network import FlowNetwork
from thalweg.planner import Planner
from thalweg.protocols import Objective, Split
from thalweg.randomness import generator
from thalweg.types import Batch, Plan


class Losses(nn.Module):
    """Network and objectives in one ``forward``.

    A wrapper such as DDP needs one forward a module and tensors it can find in the output, so the
    prediction stays inside. Objectives that are modules are trained along.

    Args:
        network: what is trained.
        objectives: by the name that their numbers bear.
    """

    def __init__(self, network: FlowNetwork, objectives: Mapping[str, Objective]) -> None:
        super().__init__()
        self.network = network
        self.named = dict(objectives)
        self.objectives = nn.ModuleDict(
            {name: objective for name, objective in objectives.items() if isinstance(objective, nn.Module)}
        )

    def forward(self, plan: Plan, batch: Batch) -> dict[str, Tensor]:
        """The numbers of one batch, each a mean over its samples.

        ``loss`` is the weighted sum, to be differentiated; ``<objective>`` an objective's unweighted
        total; ``<objective>/<part>`` what it reports beside it.
        """
        prediction = self.network(plan.x_t, plan.times, batch.condition)
        # Sums of squares in float32: bfloat16 keeps three digits.
        with torch.autocast(plan.x_t.device.type, enabled=False):
            numbers: dict[str, Tensor] = {}
            losses = []
            for name, objective in self.named.items():
                value = objective(plan, prediction, batch)
                total = value.total.float().mean()
                losses.append(objective.weight * total)
                numbers[name] = total.detach()
                numbers.update({f"{name}/{part}": number.detach() for part, number in value.parts.items()})
            return {"loss": torch.stack(losses).sum(), **numbers}


def has_unused(losses: Losses, planner: Planner, split: Split, seed: int) -> bool:
    """Whether the loss leaves a parameter without a gradient, found out on one sample.

    That depends on the objectives: without the acceleration loss, say, its layer gets none.
    """
    losses.train()
    batch = split.batch([0], generator(seed, "probe data"))
    losses(planner(batch.clean, generator(seed, "probe plan")), batch)["loss"].backward()
    unused = any(parameter.grad is None for parameter in losses.parameters() if parameter.requires_grad)
    losses.zero_grad(set_to_none=True)
    return unused
