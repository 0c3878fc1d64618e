"""Validation loss with fixed noise and times, so that its curve shows the network and not the draws."""

import torch
from lightning_fabric import Fabric
from torch import Tensor

from thalweg.planning import draw_plan
from thalweg.protocols import Planner, Split
from thalweg.randomness import generator
from thalweg.training.batches import check_labels
from thalweg.training.losses import Losses
from thalweg.training.reading import Reading
from thalweg.types import Batch


class Validation:
    """The same samples, noise and times each time; no label is hidden.

    Args:
        losses: the network and its objectives, not wrapped.
        planner: decides what the network is asked.
        split: what the loss is measured on.
        reading: reads it, together with other processes.
        seed: the run's seed.
        batch_size: samples a batch.
        batches: how many batches; fewer if the split is smaller.
    """

    def __init__(
        self,
        losses: Losses,
        planner: Planner,
        split: Split,
        reading: Reading,
        *,
        seed: int,
        batch_size: int,
        batches: int,
    ) -> None:
        self._losses, self._planner, self._split, self._seed = losses, planner, split, seed
        self._reading = reading
        # Data sets are often sorted by class, so a fixed shuffle says which samples come first.
        shuffled = torch.randperm(len(split), generator=generator(seed, "validation order")).tolist()
        chosen = shuffled[: batches * batch_size]
        self._batches = [chosen[start : start + batch_size] for start in range(0, len(chosen), batch_size)]

    @torch.no_grad()
    def __call__(self, fabric: Fabric, step: int = 0, *, name: str = "") -> dict[str, float]:
        """Means over all samples, ``validation/<number>`` for each number of the training loss.

        Args:
            fabric: launched.
            step: whose loss is taken, counted from 0.
            name: of the average that is measured, if not the main one: ``validation/<name>/<number>``.

        Raises:
            UnreadableError: on every process, if one cannot read its samples.
        """
        self._losses.eval()
        sums: dict[str, Tensor] = {}
        # Every process takes part in each round, with a batch that does not count where there is none for
        # it: a sharded network is put together by all of them.
        for first in range(0, len(self._batches), fabric.world_size):
            own = first + fabric.global_rank
            counts = own < len(self._batches)
            for number, mean in self._measure(fabric, own if counts else 0, step).items():
                weighted = mean.float() * (len(self._batches[own]) if counts else 0)
                sums[number] = sums[number] + weighted if number in sums else weighted
        totals = torch.stack(list(sums.values()))
        if fabric.world_size > 1:
            totals = fabric.all_reduce(totals, reduce_op="sum")  # type: ignore[assignment]
        count = sum(len(batch) for batch in self._batches)
        prefix = f"validation/{name}" if name else "validation"
        return {
            f"{prefix}/{number}": total / count for number, total in zip(sums, totals.tolist(), strict=True)
        }

    def _measure(self, fabric: Fabric, index: int, step: int) -> dict[str, Tensor]:
        batch = self._reading.together(lambda: self._read(index)).to(fabric.device)
        path = self._losses.network.interpolant
        plan = draw_plan(self._planner, batch, generator(self._seed, "validation plan", index), path)
        with fabric.autocast():
            numbers: dict[str, Tensor] = self._losses(plan, batch, step)
        return numbers

    def _read(self, index: int) -> Batch:
        batch = self._split.batch(self._batches[index], generator(self._seed, "validation data", index))
        check_labels(batch.condition, self._losses.network.facts)
        return batch
