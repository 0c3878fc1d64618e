"""One optimiser step."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from thalweg.training.batches import Batches
from thalweg.training.ema import EMA


class TrainingStep:
    """Forward, loss, backward, clip, AdamW, EMA.

    Args:
        fabric: places tensors, wraps precision, reduces gradients.
        losses: a :class:`thalweg.training.losses.Losses` set up by ``fabric``.
        optimizer: set up by ``fabric``.
        ema: follows the network.
        batches: what each step reads.
        accumulate: shards that one process takes before it updates.
        clip: largest global norm of the gradient; None leaves it as it is.
    """

    def __init__(
        self,
        fabric: Fabric,
        losses: Any,
        optimizer: Any,
        ema: EMA,
        batches: Batches,
        *,
        accumulate: int,
        clip: float | None,
    ) -> None:
        self._fabric, self._losses, self._optimizer, self._ema = fabric, losses, optimizer, ema
        self._batches, self._accumulate = batches, accumulate
        self._max_norm = float("inf") if clip is None else clip

    def __call__(self, step: int) -> dict[str, Tensor]:
        """Do step ``step``, counted from 0.

        Returns:
            Its numbers on this process, on the device: the losses, and ``grad_norm`` before clipping.
        """
        self._losses.train()
        sums: dict[str, Tensor] = {}
        for micro in range(self._accumulate):
            last = micro == self._accumulate - 1
            with self._fabric.no_backward_sync(self._losses, enabled=not last):
                numbers = self._backward(step, micro)
            for name, number in numbers.items():
                sums[name] = sums[name] + number if name in sums else number
        # Not to be None, since a largest norm is given; a norm that is not finite is for the loop to see.
        grad_norm: Any = self._fabric.clip_gradients(
            self._losses, self._optimizer, max_norm=self._max_norm, error_if_nonfinite=False
        )
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._ema.update()
        return {**{name: total / self._accumulate for name, total in sums.items()}, "grad_norm": grad_norm}

    def _backward(self, step: int, micro: int) -> dict[str, Tensor]:
        shard = micro * self._fabric.world_size + self._fabric.global_rank
        plan, batch = self._batches(step, shard, self._fabric.device)
        numbers = self._losses(plan, batch)
        self._fabric.backward(numbers["loss"] / self._accumulate)
        return {name: number.detach() for name, number in numbers.items()}


def finite(numbers: Mapping[str, Tensor], *, scaled: bool) -> Tensor:
    """Whether loss and gradient of a step are finite, on the device.

    Args:
        numbers: of a step.
        scaled: whether gradients are scaled, as in float16; the scaler then skips those that overflow.
    """
    loss = torch.isfinite(numbers["loss"])
    return loss if scaled else loss & torch.isfinite(numbers["grad_norm"])
