"""The weighted sum of all objectives, as the one module that is wrapped for distribution."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.network import FlowNetwork
from thalweg.protocols import Objective
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

    def objective_state(self) -> dict[str, Any]:
        """The tensors of objectives that are modules, by ``<objective>.<tensor>``."""
        return self.objectives.state_dict()
