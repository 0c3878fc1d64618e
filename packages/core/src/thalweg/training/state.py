"""Everything that a run needs to be resumed as if it had never stopped."""

import threading
from collections.abc import Mapping
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import attrs
import torch
from lightning_fabric import Fabric
from torch import Tensor

from thalweg.checkpoint import TensorGroup, TensorSlice, read_document
from thalweg.errors import ConfigError, DataError, ThalwegError
from thalweg.files import Seal
from thalweg.protocols import Averages
from thalweg.saved_network import described, ema_group
from thalweg.tensor_files import differences
from thalweg.training.launch.distributed import local_slice
from thalweg.training.optimizer import OptimizerState
from thalweg.training.step import Losses


@attrs.frozen(eq=False)
class Snapshot:
    """The state of a run after a step, as far as this process writes it.

    Attributes:
        groups: slices by tensor, by the group that they are saved in; empty where other processes write.
        documents: JSON values by name; they belong to the snapshot alone.
        sharded: whether several processes write.
    """

    step: int
    groups: Mapping[str, Mapping[str, TensorSlice]]
    documents: Mapping[str, Any]
    sharded: bool


class StepMeans:
    """Means of the numbers of each step since the last line was written.

    Numbers stay on their device until they are requested, so a step does not wait for them. They are
    added up step by step in float64, so the means are the same wherever a run was interrupted.
    """

    def __init__(self) -> None:
        self._pending: list[Mapping[str, Tensor]] = []
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def add(self, numbers: Mapping[str, Tensor]) -> None:
        """Take the numbers of one step: the same names each time, or fewer from some step on."""
        self._pending.append(numbers)

    def take(self, fabric: Fabric) -> dict[str, float]:
        """The means over steps and processes, and a new beginning; empty if there was no step."""
        self._collapse(fabric)
        means = {name: total / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return means

    def state(self, fabric: Fabric) -> dict[str, Any]:
        """What to put into a checkpoint; a copy, since that may be written during the next steps."""
        self._collapse(fabric)
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from :meth:`state`."""
        self._pending, self._sums, self._counts = [], dict(state["sums"]), dict(state["counts"])

    def _collapse(self, fabric: Fabric) -> None:
        pending, self._pending = self._pending, []
        for names, rows in groupby(pending, key=tuple):
            if self._sums and not self._sums.keys() >= set(names):
                raise ThalwegError(
                    "an objective reported other parts than in the step before; "
                    "it must name the same ones each step"
                )
            numbers = torch.stack([torch.stack([row[name].float() for name in names]) for row in rows])
            if fabric.world_size > 1:
                numbers = fabric.all_reduce(numbers, reduce_op="mean")  # type: ignore[assignment]
            for row in numbers.double().tolist():
                for name, value in zip(names, row, strict=True):
                    self._sums[name] = self._sums.get(name, 0.0) + value
                    self._counts[name] = self._counts.get(name, 0) + 1


class RunState:
    """Weights, EMA weights, optimiser, step, time spent and numbers not yet written.

    Random generators need no state: all random numbers are addressed by seed, purpose and step.

    Args:
        losses: the network and its objectives, placed on their devices and sharded if they are to be.
        averages: the EMA weights.
        shards: micro-batches that a batch is cut into, over all processes; random numbers depend on it.

    Attributes:
        step: steps done.
        skipped: how many of them were left out.
        replaced: samples that stood in for damaged ones, of this process; of the sessions before, the first
            process counts them.
        spent: seconds so far, over all sessions, by what they were spent on: see
            :class:`thalweg.training.progress.Clock`.
        means: numbers of the steps since the last line.
        metrics: what metrics.jsonl is at this step; None where nobody keeps one.
    """

    def __init__(
        self, losses: Losses, optimizer: torch.optim.Optimizer, averages: Averages, shards: int
    ) -> None:
        self._losses, self.averages, self._shards = losses, averages, shards
        self.optimizer = OptimizerState(losses, optimizer)
        self.step, self.skipped, self.replaced, self.means = 0, 0, 0, StepMeans()
        self.spent: dict[str, float] = {}
        self.metrics: Seal | None = None
        self._copied: threading.Event | None = None

    def snapshot(self, fabric: Fabric) -> Snapshot:
        """What a checkpoint of this moment holds; every process must call it.

        Its tensors are the run's own, and change with the next step unless they are copied before.
        """
        groups: dict[str, dict[str, TensorSlice]] = {}
        sharded = False
        # A forward pass may change a buffer, so these are copied at once; they are small.
        modules = (self._losses.network, self._losses.objectives)
        buffers = {name for module in modules for name, _ in module.named_buffers()}
        for group, tensors in self._groups(self.optimizer.tensors()).items():
            groups[group] = {}
            for name, tensor in tensors.items():
                found = tensor.clone() if name in buffers else tensor
                here, written_here = local_slice(found, fabric.global_rank)
                sharded = sharded or hasattr(tensor, "device_mesh")
                if written_here:
                    groups[group][name] = here
        state = {
            "step": self.step,
            "skipped": self.skipped,
            "replaced": self.replaced_anywhere(fabric),
            "seconds": dict(self.spent),
            "shards": self._shards,
            "averages": list(self.averages.names),
            "optimizer": self.optimizer.numbers(),
            "means": self.means.state(fabric),
            "metrics": None if self.metrics is None else attrs.asdict(self.metrics),
            "precision": fabric.strategy.precision.state_dict(),
        }
        documents = {"state": state, "model": described(self._losses.network)}
        return Snapshot(self.step, groups, documents, sharded)

    def replaced_anywhere(self, fabric: Fabric) -> int:
        """Samples of all processes that stood in for damaged ones; every process must call it."""
        if fabric.world_size == 1:
            return self.replaced
        count = torch.tensor(self.replaced, device=fabric.device)
        return int(fabric.all_reduce(count, reduce_op="sum"))  # type: ignore[arg-type]

    def copying(self, copied: threading.Event) -> None:
        """Let nothing change until a snapshot is copied, which another thread does meanwhile."""
        self._copied = copied

    def wait_until_copied(self) -> None:
        """Wait until weights, optimiser state and EMA weights may change; to be called before they do."""
        if self._copied is not None:
            self._copied.wait()
            self._copied = None

    def load(self, path: Path, fabric: Fabric) -> None:
        """Resume from a verified checkpoint, of whatever number of processes; every process must call it.

        Raises:
            DataError: if it is of another network, naming the first differences, or damaged; nothing is
                changed then.
            ConfigError: if the batch was cut into other shards, whose noise is other noise.
        """
        state = read_document(path, "state")
        advice = "use the network that the run began with, or another run directory"
        try:
            if state["shards"] != self._shards:
                raise ConfigError(
                    f"the run cut each batch into {state['shards']} shards (devices times "
                    f"training.accumulate), now it would be {self._shards}, with other noise; use as many "
                    f"shards as before"
                )
            step, skipped = int(state["step"]), int(state["skipped"])
            spent = {str(what): float(seconds) for what, seconds in state["seconds"].items()}
            self.means.restore(state["means"])
            replaced = int(state["replaced"]) if fabric.is_global_zero else 0
            seal = state["metrics"]
            metrics = None if seal is None else Seal(int(seal["bytes"]), str(seal["sha256"]))
            saved = {name: TensorGroup(path, name) for name in self._groups({})}
            moments = self.optimizer.allocate(saved["optimizer"])
            groups = self._groups(moments)
            for name, tensors in groups.items():
                expected = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
                different = differences(expected, saved[name].shapes)
                if different:
                    raise DataError(
                        f"the checkpoint {path} is of another network or optimiser, its {name} does not "
                        f"fit: {different}; {advice}"
                    )
            for name, tensors in groups.items():
                for key, tensor in tensors.items():
                    here, _ = local_slice(tensor, fabric.global_rank)
                    saved[name].read_into(key, here.tensor, here.offset)
            self.optimizer.load(moments, state["optimizer"])
            for name in self.averages.names:
                self.averages.load_state_dict(groups[ema_group(name, self.averages.names)], name)
            self.step, self.skipped, self.replaced = step, skipped, replaced
            self.spent, self.metrics = spent, metrics
            if state["precision"]:
                fabric.strategy.precision.load_state_dict(state["precision"])
        except (RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"the checkpoint {path} cannot be resumed from ({reason}); {advice}") from error

    def _groups(self, moments: Mapping[str, Tensor]) -> dict[str, Mapping[str, Tensor]]:
        groups: dict[str, Mapping[str, Tensor]] = {
            "network": self._losses.network.state_dict(),
            **{
                ema_group(name, self.averages.names): self.averages.state_dict(name)
                for name in self.averages.names
            },
            "optimizer": moments,
        }
        objectives = self._losses.objectives
        if any(True for _ in chain(objectives.parameters(), objectives.buffers())):
            groups["objectives"] = objectives.state_dict()
        return groups
