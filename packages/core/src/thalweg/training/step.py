"""One optimiser step."""

from collections.abc import Callable, Mapping
from typing import Any

from lightning_fabric import Fabric
from torch import Tensor

from thalweg.protocols import Averages
from thalweg.training.batches import Batches
from thalweg.training.fully_sharded import norm_of
from thalweg.training.reading import Reading
from thalweg.training.supply import Supply


class TrainingStep:
    """Forward, loss, backward, clip, update, average.

    Args:
        fabric: places tensors, wraps precision, reduces gradients.
        losses: a :class:`thalweg.training.losses.Losses` set up by ``fabric``.
        optimizer: set up by ``fabric``.
        averages: follow the network.
        batches: draws the plan of each batch.
        supply: what this process reads.
        reading: reads it, together with other processes.
        accumulate: shards that one process takes before it updates.
        clip: largest global norm of the gradient; None leaves it as it is.
        admits: asked with the step's numbers before anything is changed; answers alike on all processes.
        rates: sets the learning rates of a step; None leaves them as they are.

    Attributes:
        replaced: samples of this process's last step that stood in for damaged ones.
    """

    def __init__(
        self,
        fabric: Fabric,
        losses: Any,
        optimizer: Any,
        averages: Averages,
        batches: Batches,
        supply: Supply,
        reading: Reading,
        *,
        accumulate: int,
        clip: float | None,
        admits: Callable[[int, Mapping[str, Tensor]], bool],
        rates: Callable[[int], None] | None = None,
    ) -> None:
        self._fabric, self._losses, self._optimizer = fabric, losses, optimizer
        self._averages, self._rates = averages, rates
        self._batches, self._supply, self._accumulate = batches, supply, accumulate
        self._max_norm = float("inf") if clip is None else clip
        self._admits, self._reading = admits, reading
        self.replaced = 0

    def __call__(self, step: int) -> dict[str, Tensor] | None:
        """Do step ``step``, counted from 0.

        Returns:
            Its numbers on this process, on the device: the losses, and ``grad_norm`` before clipping; None
            if the step was left out, and weights, optimiser and averages are what they were.

        Raises:
            UnreadableError: if its data cannot be read, before anything is changed.
        """
        self._losses.train()
        self.replaced = 0
        sums: dict[str, Tensor] = {}
        for part in range(self._accumulate):
            last = part == self._accumulate - 1
            with self._fabric.no_backward_sync(self._losses, enabled=not last):
                numbers = self._backward(step, part)
            for name, number in numbers.items():
                sums[name] = sums[name] + number if name in sums else number
        # Not to be None, since a largest norm is given; a norm that is not finite is not stepped with.
        total: Any = self._fabric.clip_gradients(
            self._losses, self._optimizer, max_norm=self._max_norm, error_if_nonfinite=False
        )
        means = {name: number / self._accumulate for name, number in sums.items()}
        means["grad_norm"] = norm_of(total)
        admitted = self._admits(step, means)
        if admitted:
            if self._rates is not None:
                self._rates(step)
            self._optimizer.step()
            self._averages.update(step)
        self._optimizer.zero_grad(set_to_none=True)
        return means if admitted else None

    def _backward(self, step: int, part: int) -> dict[str, Tensor]:
        batch = self._reading.batch(lambda: self._supply(step, part)).to(self._fabric.device)
        self.replaced += batch.replaced
        plan = self._batches.plan(batch, step, self._supply.shard(part))
        numbers = self._losses(plan, batch, step)
        self._fabric.backward(numbers["loss"] / self._accumulate)
        return {name: number.detach() for name, number in numbers.items()}
