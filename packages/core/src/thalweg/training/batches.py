"""What a training step reads and draws, as a function of its address alone."""

import attrs
import torch

from thalweg.data.order import indices
from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts
from thalweg.integers import AT_ONCE, SEED, STEPS, Integers
from thalweg.interpolant import Interpolant
from thalweg.planning import draw_plan
from thalweg.protocols import Planner, Split
from thalweg.randomness import generator
from thalweg.types import Batch, Condition, Plan


class Batches:
    """Cuts each global batch into shards and draws each shard's plan.

    A shard is what one process handles at once: there are ``devices * accumulate`` of them, and process r
    takes shard ``m * devices + r`` as its m-th. All draws of a shard come from generators addressed by
    (seed, step, shard), so two processes, or one that accumulates twice, do the same step.

    It is a map-style data set as well: ``batches[step]`` is what one process reads of a step, and
    ``DataLoader(batches, batch_size=None)`` reads one step after another, ahead and by workers if it is told
    to. Nothing may shuffle it.

    Args:
        split: what is trained on.
        facts: classes, to check labels before they reach a device that cannot complain.
        planner: decides what the network is asked.
        interpolant: the path from data to noise.
        seed: the run's seed.
        batch_size: samples of the global batch.
        shards: how many it is cut into; divides the batch size.
        condition_dropout: probability that a sample's label and caption are hidden from the network.
        steps: of the run, which is its length as a data set; None where nobody asks for it.
        shard: which one ``batches[step]`` is, and a plan is drawn for where no other is stated.

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
            DataError: if a label lies outside the classes.
        """
        batch = self._split.batch(self._indices(step, shard), generator(self._seed, "data", step, shard))
        check_labels(batch.condition, self._facts)
        return attrs.evolve(batch, condition=self._hide(batch.condition, step, shard))

    def upcoming(self, step: int, shard: int) -> None:
        """Let the split know that this shard will be read before long."""
        tell = getattr(self._split, "upcoming", None)
        if tell is not None:
            tell(self._indices(step, shard))

    def plan(self, batch: Batch, step: int, shard: int | None = None) -> Plan:
        """What the network is asked about a shard that was read, on the batch's device.

        Args:
            batch: as :meth:`read` gave it, or ``batches[step]``; it may have been moved.
            step: that it was read for.
            shard: the same; its own where none is stated.
        """
        shard = self._shard if shard is None else shard
        return draw_plan(self._planner, batch, generator(self._seed, "plan", step, shard), self._interpolant)

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
        DataError: if one lies outside 0..classes-1, or the network knows none.
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
