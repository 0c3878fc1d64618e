"""What a training step reads, as a function of its address alone, and reading it ahead."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import attrs
import torch

from thalweg.arguments import AT_ONCE, SEED, STEPS, Integers
from thalweg.data.order import indices
from thalweg.data.prefetch import Prefetcher
from thalweg.errors import ConfigError, DamagedImageError, DataError, ThalwegError
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.planning import draw_plan
from thalweg.protocols import Planner, Split
from thalweg.randomness import generator
from thalweg.suggestions import one_line
from thalweg.training.launch.distributed import Peers
from thalweg.types import Batch, Condition, Plan

T = TypeVar("T")

_REACH = 64  # batches; of 256 samples, about a window of shards, which remote ones are fetched before
_SHOWN = 20  # damaged images that are named


class Batches:
    """Cuts each global batch into shards and makes each shard's plan.

    A shard is what one process handles at once: there are ``devices * accumulate`` of them, and process r
    takes shard ``m * devices + r`` as its m-th. All random numbers of a shard come from generators addressed
    by (seed, step, shard), so two processes, or one that accumulates twice, do the same step.

    It is a map-style data set as well: ``batches[step]`` is what one process reads of a step, and
    ``DataLoader(batches, batch_size=None)`` reads one step after another, ahead and by workers if it is set
    up so. Nothing may shuffle it.

    Args:
        split: what is trained on.
        facts: classes, to check labels before they reach a device, which cannot raise an error.
        planner: decides the network's query.
        interpolant: the path from data to noise.
        seed: of the run.
        batch_size: samples of the global batch.
        shards: how many it is cut into; divides the batch size.
        condition_dropout: probability that a sample's label and caption are hidden from the network.
        steps: of the run, which is its length as a data set; None where nobody needs it.
        shard: which one ``batches[step]`` is, and a plan is made for where no other is stated.

    Raises:
        ConfigError: the batch cannot be cut so, or another number is out of range.
    """

    def __init__(
        self,
        split: Split,
        facts: Facts,
        planner: Planner,
        interpolant: Interpolant,
        *,
        seed: int,
        batch_size: int,
        shards: int = 1,
        condition_dropout: float = 0.1,
        steps: int | None = None,
        shard: int = 0,
    ) -> None:
        SEED.check("seed", seed)
        AT_ONCE.check("batch_size", batch_size)
        if AT_ONCE.check("shards", shards) and batch_size % shards:
            raise ConfigError(f"batch_size is {batch_size}, which {shards} shards cannot share evenly")
        Integers(0, shards - 1).check("shard", shard)
        if not 0 <= condition_dropout <= 1:
            raise ConfigError(f"condition_dropout is {condition_dropout}; it must be a share from 0 to 1")
        self._steps = None if steps is None else STEPS.check("steps", steps)
        self._shard = shard
        self._split, self._facts = split, facts
        self._planner, self._interpolant = planner, interpolant
        self._seed, self._batch_size, self._shards = seed, batch_size, shards
        self._condition_dropout = condition_dropout

    def __len__(self) -> int:
        if self._steps is None:
            raise ConfigError("batches without steps have no length; make them with steps=...")
        return self._steps

    def __getitem__(self, step: int) -> Batch:
        if step < 0 or (self._steps is not None and step >= self._steps):
            raise IndexError(f"there is no step {step}; steps count from 0, and there are {self._steps}")
        return self.read(step, self._shard)

    def read(self, step: int, shard: int) -> Batch:
        """The samples of one shard of a step, counted from 0, on the CPU.

        Raises:
            DataError: if a label is outside the classes.
        """
        batch = self._split.batch(self._indices(step, shard), generator(self._seed, "data", step, shard))
        check_labels(batch.condition, self._facts)
        return attrs.evolve(batch, condition=self._hide(batch.condition, step, shard))

    def upcoming(self, step: int, shard: int) -> None:
        """Let the split know that this shard will be read before long."""
        announce = getattr(self._split, "upcoming", None)
        if announce is not None:
            announce(self._indices(step, shard))

    def plan(self, batch: Batch, step: int, shard: int | None = None) -> Plan:
        """The network's query for a shard that was read for a step, on the device that it is on by now."""
        shard = self._shard if shard is None else shard
        return draw_plan(self._planner, batch, generator(self._seed, "plan", step, shard), self._interpolant)

    @property
    def damaged(self) -> list[str]:
        """Names of the damaged samples that were met so far, where the data set says them."""
        return list(getattr(self._split, "damaged", []))

    def _indices(self, step: int, shard: int) -> list[int]:
        split = self._split
        blocks = getattr(split, "blocks", None)
        return indices(self._seed, step, self._batch_size, len(split), shard, self._shards, blocks=blocks)

    def _hide(self, condition: Condition, step: int, shard: int) -> Condition:
        if condition.labels is None and condition.text is None:
            return condition
        hidden_N = condition.hidden()
        draws_N = torch.rand(len(hidden_N), generator=generator(self._seed, "label dropout", step, shard))
        return condition._replace(dropped=(draws_N < self._condition_dropout) | hidden_N)


def check_labels(condition: Condition, facts: Facts) -> None:
    """Check labels on the CPU; on a device, an index out of range is a crash or garbage.

    Raises:
        DataError: if one is outside 0..classes-1, or the network knows none.
    """
    if condition.labels is None:
        return
    if facts.classes is None:
        raise DataError(
            "the data hold labels and the network is unconditional; give the network the data set's facts"
        )
    low, high = (int(bound) for bound in condition.labels.aminmax())
    if low < 0 or high >= facts.classes:
        raise DataError(
            f"the data hold label {low if low < 0 else high}, outside 0..{facts.classes - 1}; "
            f"correct the labels or the data set's number of classes"
        )


class UnreadableError(DataError):
    """A process of the run could not read its data; raised alike by all of them."""

    def __init__(self, message: str, exit_code: int, damaged: bool) -> None:
        super().__init__(message)
        self.exit_code, self.damaged = exit_code, damaged

    @classmethod
    def of(cls, error: Exception) -> "UnreadableError":
        """What to make of whatever was raised while data were read."""
        if isinstance(error, ThalwegError):
            return cls(str(error), error.exit_code, isinstance(error, DamagedImageError))
        message = f"the data cannot be read ({type(error).__name__}: {one_line(error)})"
        return cls(message, ThalwegError.exit_code, False)

    def at(self, step: int, data: Any) -> "UnreadableError":
        """The same with how the run is resumed, of which ``step`` steps are saved, 0 if none was trained."""
        stands = f"the state of step {step} is saved" if step else "nothing was trained yet"
        skips = self.damaged and getattr(data, "on_damaged", None) == "stop"
        skip = ", or at once and without such images by data.on_damaged=skip" if skips else ""
        return UnreadableError(
            f"{self}; {stands}, and the same command resumes once that is put right, by "
            f"--accept-changed-data if the data are others then{skip}",
            self.exit_code,
            self.damaged,
        )


class BatchReader:
    """The batches of one process: read ahead while it computes, and together with the other processes.

    Within a step a process that cannot read takes the batch before, since the others wait for its gradients;
    the step is then given up by all, before anything is changed.

    Args:
        accumulate: micro-batches that a process takes in a step.
        steps: of the whole run, beyond which nothing is read.
        prefetch: batches read ahead.
        workers: threads that read.

    Attributes:
        fault: why this process could not read; None while it could.
    """

    def __init__(
        self, batches: Batches, peers: Peers, *, accumulate: int, steps: int, prefetch: int, workers: int
    ) -> None:
        self._batches, self._peers, self._accumulate = batches, peers, accumulate
        self._first: Batch | None = None
        self._stand_in: Batch | None = None
        self.fault: Exception | None = None
        self._ahead = Prefetcher(
            lambda place: batches.read(*self._address(place)),
            depth=prefetch,
            workers=workers,
            stop=steps * accumulate,
            upcoming=lambda place: batches.upcoming(*self._address(place)),
            reach=_REACH,
        )

    def begin(self, step: int) -> None:
        """Read the first batch of a session, before any process counts on another."""
        self._first = self.together(lambda: self._ahead.get(step * self._accumulate))

    def batch(self, step: int, micro_batch: int) -> Batch:
        """A micro-batch of a step, both counted from 0, on the CPU.

        Raises:
            UnreadableError: if it cannot be read and no other process waits for this one.
        """
        found, self._first = self._first, None
        if found is None:
            try:
                found = self._ahead.get(step * self._accumulate + micro_batch)
            except Exception as error:
                if self._peers.count == 1 or self._stand_in is None:
                    raise UnreadableError.of(error) from error
                self.fault = error
                return self._stand_in
        if self._peers.count > 1:
            self._stand_in = found
        return found

    def plan(self, batch: Batch, step: int, micro_batch: int) -> Plan:
        """The network's query for a micro-batch, on its device."""
        return self._batches.plan(batch, *self._address(step * self._accumulate + micro_batch))

    def together(self, read: Callable[[], T]) -> T:
        """Read what every process reads a share of, and return only if all could.

        Raises:
            UnreadableError: if a process could not.
        """
        found: list[T] = []
        try:
            found.append(read())
        except Exception as error:
            self.fault = error
        self.agree()
        return found[0]

    def agree(self) -> None:
        """Exchange faults with the other processes, all of which must call it."""
        fault = None if self.fault is None else UnreadableError.of(self.fault)
        own = "" if fault is None else json.dumps([str(fault), fault.exit_code, fault.damaged])
        first = next(filter(None, self._peers.agree(lambda: own)), None)
        if first is not None:
            raise UnreadableError(*json.loads(first)) from self.fault

    def damage(self, replaced: int) -> str:
        """Which images were left out, in words; empty if none. Every process must call it.

        ``replaced`` are the samples of the whole run that stood in for damaged ones.
        """
        if not replaced:
            return ""
        texts = self._peers.agree(lambda: json.dumps(self._batches.damaged[:_SHOWN]))
        every = dict.fromkeys(one for text in texts for one in json.loads(text))
        names = f"; this session met: {'; '.join(list(every)[:_SHOWN])}" if every else ""
        many = f"{replaced:,} samples stood in for damaged images"
        return f"{'1 sample stood in for a damaged image' if replaced == 1 else many}{names}"

    def close(self) -> None:
        """Stop reading ahead."""
        self._ahead.close()

    def _address(self, place: int) -> tuple[int, int]:
        """Step and shard of a micro-batch of this process, all of which are counted through."""
        step, micro_batch = divmod(place, self._accumulate)
        return step, micro_batch * self._peers.count + self._peers.rank
