"""Everything that a run needs to go on as if it had never stopped."""

import itertools
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from thalweg.descriptions import described
from thalweg.errors import ConfigError, DataError
from thalweg.files import Seal
from thalweg.protocols import Averages
from thalweg.saved_averages import group_named
from thalweg.tensor_files import differences
from thalweg.training.checkpoint import Piece, TensorGroup, read_document
from thalweg.training.losses import Losses
from thalweg.training.metrics import Means
from thalweg.training.optimizer import Moments
from thalweg.training.sharding import held
from thalweg.training.snapshot import Snapshot


class RunState:
    """Weights, averages, optimiser, step, time spent and numbers not yet written.

    Random generators need no state: every draw is addressed by seed, purpose and step.

    Args:
        losses: the network and its objectives, placed on their devices and sharded if they are to be.
        optimizer: over them.
        averages: of the network's weights.
        shards: parts that a batch is cut into, over processes and accumulation; draws depend on it.

    Attributes:
        step: steps done.
        skipped: how many of them were left out.
        replaced: samples that stood in for damaged ones, of this process; of the sessions before, the first
            process counts them.
        spent: seconds so far, over all sessions, by what they were spent on: see
            :class:`thalweg.training.clock.Clock`.
        means: numbers of the steps since the last line.
        journal: what metrics.jsonl is at this step; None where nobody keeps one.
    """

    def __init__(
        self, losses: Losses, optimizer: torch.optim.Optimizer, averages: Averages, shards: int
    ) -> None:
        self._losses, self.averages, self._shards = losses, averages, shards
        self._moments = Moments(losses, optimizer)
        self.step, self.skipped, self.replaced, self.means = 0, 0, 0, Means()
        self.spent: dict[str, float] = {}
        self.journal: Seal | None = None
        self._copied: threading.Event | None = None

    def snapshot(self, fabric: Fabric) -> Snapshot:
        """What a checkpoint of this moment holds; every process must call it.

        Its tensors are the run's own, and change with the next step unless they are copied before.
        """
        groups: dict[str, dict[str, Piece]] = {}
        sharded = False
        for group, tensors in self._groups(self._moments.tensors()).items():
            buffers = self._buffers(group)
            # A forward pass may change a buffer, so these are copied at once; they are small.
            found = {
                name: held(tensor.clone() if name in buffers else tensor, fabric.global_rank)
                for name, tensor in tensors.items()
            }
            sharded = sharded or any(one.sharded for one in found.values())
            groups[group] = {name: one.piece for name, one in found.items() if one.mine}
        state = {
            "step": self.step,
            "skipped": self.skipped,
            "replaced": self.replaced_anywhere(fabric),
            "seconds": dict(self.spent),
            "shards": self._shards,
            "averages": list(self.averages.names),
            "optimizer": self._moments.numbers(),
            "means": self.means.state(fabric),
            "metrics": None if self.journal is None else attrs.asdict(self.journal),
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

    def hold(self, copied: threading.Event) -> None:
        """Let nothing change until a snapshot is copied, which another thread does meanwhile."""
        self._copied = copied

    def settle(self) -> None:
        """Wait until weights, moments and averages may change; whoever changes them asks first."""
        if self._copied is not None:
            self._copied.wait()
            self._copied = None

    def load(self, path: Path, fabric: Fabric) -> None:
        """Go on from a verified checkpoint, of whatever number of processes; every process must call it.

        Raises:
            DataError: if it is of another network, naming the first differences, or damaged; nothing is
                changed then.
            ConfigError: if the batch was cut into other shards, whose noise is other noise.
        """
        state = read_document(path, "state")
        advice = "use the network that the run began with, or another run directory"
        try:
            self._check_shards(state["shards"])
            step, skipped = int(state["step"]), int(state["skipped"])
            spent = {str(what): float(seconds) for what, seconds in state["seconds"].items()}
            self.means.restore(state["means"])
            replaced = int(state["replaced"]) if fabric.is_global_zero else 0
            noted = state["metrics"]
            journal = None if noted is None else Seal(int(noted["bytes"]), str(noted["sha256"]))
            saved = {name: TensorGroup(path, name) for name in self._groups({})}
            moments = self._moments.room(saved["optimizer"])
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
                    here = held(tensor, fabric.global_rank).piece
                    saved[name].read_into(key, here.tensor, here.offset)
            self._moments.load(moments, state["optimizer"])
            for name in self.averages.names:
                self.averages.load_state_dict(groups[group_named(name, self.averages.names)], name)
            self.step, self.skipped, self.spent, self.journal = step, skipped, spent, journal
            self.replaced = replaced
            if state["precision"]:
                fabric.strategy.precision.load_state_dict(state["precision"])
        except (RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"the checkpoint {path} cannot be gone on from ({reason}); {advice}") from error

    def _groups(self, moments: Mapping[str, Tensor]) -> dict[str, Mapping[str, Tensor]]:
        groups: dict[str, Mapping[str, Tensor]] = {
            "network": self._losses.network.state_dict(),
            **{
                group_named(name, self.averages.names): self.averages.state_dict(name)
                for name in self.averages.names
            },
            "optimizer": moments,
        }
        if any(True for _ in _tensors_of(self._losses.objectives)):
            groups["objectives"] = self._losses.objectives.state_dict()
        return groups

    def _buffers(self, group: str) -> set[str]:
        if group == "optimizer":
            return set()
        module = self._losses.objectives if group == "objectives" else self._losses.network
        return {name for name, _ in module.named_buffers()}

    def _check_shards(self, recorded: int) -> None:
        if recorded != self._shards:
            raise ConfigError(
                f"the run cut each batch into {recorded} shards (devices times training.accumulate), now it "
                f"would be {self._shards}, with other noise; go on with as many shards as before"
            )


def _tensors_of(module: nn.Module) -> Iterator[Tensor]:
    return itertools.chain(module.parameters(), module.buffers())
