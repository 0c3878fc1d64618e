"""The state of a run that takes no time to train, plain or sharded, for tests of checkpoints."""

from typing import Any

import attrs
import torch
from lightning_fabric import Fabric
from torch import Tensor

import thalweg
from thalweg.averages.ema import EMA
from thalweg.optimizers.adamw import AdamW
from thalweg.training.launch.distributed import whole
from thalweg.training.optimizer import make_optimizer
from thalweg.training.state import RunState
from thalweg.training.step import Losses

CONFIG = {"name": "small", "seed": 3}
FACTS = thalweg.Facts(shape=(1, 8, 8), classes=3)


@attrs.frozen(eq=False)
class Small:
    """A state and what moves it."""

    state: RunState
    losses: Losses
    optimizer: torch.optim.Optimizer
    fabric: Fabric

    def advance(self) -> None:
        """A step whose gradient is made of the weights, so it is the same however they are shared out."""
        for parameter in self.losses.parameters():
            parameter.grad = (parameter.detach() * 0.3 + 0.01 * (1 + self.state.step)).clone()
        self.state.wait_until_copied()
        self.optimizer.step()
        self.state.averages.update(0)
        self.state.step += 1

    def tensors(self) -> dict[str, Tensor]:
        """Everything that a checkpoint holds, whole and by name; every process must ask."""
        moments = self.state.optimizer.tensors()
        groups = {"network": self.losses.network.state_dict(), "ema": self.state.averages.state_dict()}
        found = {**groups, "optimizer": moments}
        return {
            f"{group}/{name}": whole(tensor).detach().clone()
            for group, tensors in found.items()
            for name, tensor in tensors.items()
        }


def lone() -> Fabric:
    """Fabric of a single process."""
    return Fabric(accelerator="cpu", devices=1)


def small(
    fabric: Fabric | None = None,
    *,
    width: int = 16,
    objectives: Any = None,
    maker: Any = None,
    decay: Any = 0.9,
) -> Small:
    """A new state, before its first step."""
    fabric = lone() if fabric is None else fabric
    backbone = {"type": "dit", "patch": 4, "width": width, "depth": 2, "heads": 2}
    network = thalweg.compose(backbone=backbone, facts=FACTS, seed=1)
    losses = Losses(network, objectives or {})
    fabric.setup_module(losses)
    optimizer = make_optimizer(maker or AdamW(1e-2, (0.9, 0.999), 0.0), losses, fused=False)
    return Small(RunState(losses, optimizer, EMA(network, decay), shards=6), losses, optimizer, fabric)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether tensors are the same bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
