"""Everything that a run needs to go on as if it had never stopped."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from thalweg.errors import ConfigError, DataError
from thalweg.training import checkpoint
from thalweg.training.ema import EMA
from thalweg.training.losses import Losses
from thalweg.training.metrics import Means
from thalweg.training.optimizer import load_optimizer, optimizer_tensors


class RunState:
    """Weights, averages, optimiser, step, time spent and numbers not yet written.

    Random generators need no state: every draw is addressed by seed, purpose and step.

    Args:
        losses: the network and its objectives, not wrapped.
        optimizer: over them.
        ema: of the network.
        shards: parts that a batch is cut into, over processes and accumulation; draws depend on it.

    Attributes:
        step: steps done.
        seconds: spent so far, over all sessions.
        means: numbers of the steps since the last line.
    """

    def __init__(self, losses: Losses, optimizer: torch.optim.Optimizer, ema: EMA, shards: int) -> None:
        self._losses, self._optimizer, self.ema, self._shards = losses, optimizer, ema, shards
        self.step, self.seconds, self.means = 0, 0.0, Means()

    def save(self, folder: Path, config: Mapping[str, Any], keep: int, fabric: Fabric) -> None:
        """Write a checkpoint; every process must call it, the first one writes.

        Raises:
            ThalwegError: if it cannot be written.
        """
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "shards": self._shards,
            "means": self.means.state(fabric),
            "precision": fabric.strategy.precision.state_dict(),
        }
        if fabric.is_global_zero:
            tensors = {
                "network": self._losses.network.state_dict(),
                "ema": self.ema.state_dict(),
                "optimizer": optimizer_tensors(self._losses, self._optimizer),
            }
            if any(True for _ in _tensors_of(self._losses.objectives)):
                tensors["objectives"] = self._losses.objectives.state_dict()
            checkpoint.save(folder, self.step, tensors, {"state": state, "config": config}, keep)
        fabric.barrier()

    def load(self, path: Path, fabric: Fabric) -> None:
        """Go on from a checkpoint.

        Raises:
            DataError: if it is of another network.
            ConfigError: if the batch was cut into other shards, whose noise is other noise.
        """
        self._check_shards(checkpoint.read_document(path, "state").get("shards", self._shards))
        tensors = {name: checkpoint.read_tensors(path, name) for name in ("network", "ema", "optimizer")}
        state = checkpoint.read_document(path, "state")
        try:
            self._losses.network.load_state_dict(tensors["network"])
            self.ema.load_state_dict(tensors["ema"])
            if any(True for _ in _tensors_of(self._losses.objectives)):
                self._losses.objectives.load_state_dict(checkpoint.read_tensors(path, "objectives"))
            load_optimizer(self._losses, self._optimizer, tensors["optimizer"])
            self.step, self.seconds = int(state["step"]), float(state["seconds"])
            self.means.restore(state["means"])
            if state["precision"]:
                fabric.strategy.precision.load_state_dict(state["precision"])
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(
                f"the checkpoint {path} is of another network or optimiser ({reason}); "
                f"use the network that the run began with, or another run directory"
            ) from error

    def _check_shards(self, recorded: int) -> None:
        if recorded != self._shards:
            raise ConfigError(
                f"the run cut each batch into {recorded} shards (devices times training.accumulate), now it "
                f"would be {self._shards}, with other noise; go on with as many devices as before"
            )


def _tensors_of(module: nn.Module) -> itertools.chain[torch.Tensor]:
    return itertools.chain(module.parameters(), module.buffers())
