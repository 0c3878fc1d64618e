"""Looks after each step at whether the run must stop: Ctrl-C, or numbers that are not finite."""

from collections.abc import Mapping
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from thalweg.config import TrainingConfig
from thalweg.errors import DivergenceError
from thalweg.training.checkpoint import checkpoints
from thalweg.training.interruption import Interruption
from thalweg.training.step import finite

_LOOK_EVERY = 10
"""Steps between two looks where a look makes a device or other processes wait."""


class Watch:
    """Decides alike on every process.

    A lone CPU is looked at after every step. Elsewhere the first bad step is noted on the device, and
    looked at every few steps and whenever something is due, so that nothing bad is ever saved.

    Args:
        training: intervals and precision.
        folder: of checkpoints, to name the last good one.
        interruption: notes Ctrl-C.
        fabric: launched.
    """

    def __init__(
        self, training: TrainingConfig, folder: Path, interruption: Interruption, fabric: Fabric
    ) -> None:
        self._training, self._folder = training, folder
        self._interruption, self._fabric = interruption, fabric
        self._first_bad = torch.full((), -1, dtype=torch.int64, device=fabric.device)

    def stops(self, step: int, numbers: Mapping[str, Tensor]) -> bool:
        """Whether the run is to stop after this step, the ``step``-th from 1.

        Raises:
            DivergenceError: if this step, or one since the last look, was not finite.
        """
        good = finite(numbers, scaled=self._training.precision == "16-mixed")
        self._first_bad = torch.where(~good & (self._first_bad < 0), step, self._first_bad)
        if not self._looks(step):
            return False
        signals = torch.stack(
            [self._first_bad, torch.full_like(self._first_bad, self._interruption.requested)]
        )
        if self._fabric.world_size > 1:
            signals = self._fabric.all_reduce(signals, reduce_op="max")  # type: ignore[assignment]
        bad, stop = signals.tolist()
        if bad >= 0:
            raise self._diverged(bad, numbers)
        return bool(stop)

    def _looks(self, step: int) -> bool:
        if self._fabric.world_size == 1 and self._fabric.device.type == "cpu":
            return True
        training = self._training
        intervals = (
            training.log_every,
            training.validate_every,
            training.sample_every,
            training.checkpoint_every,
            _LOOK_EVERY,
        )
        return step == training.steps or any(every and step % every == 0 for every in intervals)

    def _diverged(self, step: int, numbers: Mapping[str, Tensor]) -> DivergenceError:
        saved = checkpoints(self._folder)
        last = f"the last good checkpoint is {saved[-1]}" if saved else "no checkpoint had been saved yet"
        exact = "" if self._training.precision == "32-true" else " or training.precision=32-true"
        return DivergenceError(
            f"training diverged at step {step}: the loss is {float(numbers['loss']):.4g} and the gradient "
            f"norm {float(numbers['grad_norm']):.4g}; {last}; "
            f"try a lower training.lr, a smaller training.clip{exact} in a new run directory"
        )
