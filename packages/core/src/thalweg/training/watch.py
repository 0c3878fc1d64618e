"""Decides at each step, alike on every process, whether it may change the weights and whether to stop."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from thalweg.config import TrainingConfig
from thalweg.errors import DivergenceError
from thalweg.training.interruption import Interruption


class Watch:
    """Looks at loss, gradient and signals after the backward pass, before anything is changed.

    All processes reduce what they saw in one small exchange a step, so a signal that reaches one of them
    stops all after the same step, and a loss that is not finite on one is not finite for all. The device
    is waited for, which costs far less than a step: only so is it known before the optimiser runs.

    Args:
        training: precision, and what to do about numbers that are not finite.
        interruption: notes signals.
        fabric: launched.
        skipped: steps that the run has left out already.
        last_saved: finds the newest checkpoint, to be named.

    Attributes:
        stopped_by: the signal to stop for after this step; 0 for none.
        skipped: steps left out so far.
        unreadable: whether a process could not read what this step needs.
    """

    def __init__(
        self,
        training: TrainingConfig,
        interruption: Interruption,
        fabric: Fabric,
        *,
        skipped: int,
        last_saved: Callable[[], Path | None],
    ) -> None:
        self._training, self._interruption, self._fabric = training, interruption, fabric
        self._last_saved = last_saved
        self.stopped_by, self.skipped, self.unreadable = 0, skipped, False

    def admits(self, step: int, numbers: Mapping[str, Tensor], *, unreadable: bool = False) -> bool:
        """Whether step ``step``, counted from 0, may change the weights.

        Args:
            step: which.
            numbers: of this process, with ``loss`` and ``grad_norm``.
            unreadable: whether this process could not read its share.

        Raises:
            DivergenceError: if its loss or gradient is not finite and no step may be left out (any more).
        """
        bad = ~torch.isfinite(numbers["loss"])
        if self._training.precision != "16-mixed":
            # In float16 gradients are scaled, and the scaler leaves out those that overflow.
            bad = bad | ~torch.isfinite(numbers["grad_norm"])
        noted = (self._interruption.signal, int(unreadable))
        signals = torch.stack([bad.long(), *(torch.full_like(bad, one, dtype=torch.long) for one in noted)])
        if self._fabric.world_size > 1:
            signals = self._fabric.all_reduce(signals, reduce_op="max")  # type: ignore[assignment]
        bad_anywhere, self.stopped_by, unreadable_anywhere = signals.tolist()
        self.unreadable = bool(unreadable_anywhere)
        if self.unreadable:
            return False
        if not bad_anywhere:
            return True
        if self._training.nonfinite == "stop" or self.skipped == self._training.max_skips:
            raise self._diverged(step + 1, numbers)
        self.skipped += 1
        return False

    def _diverged(self, step: int, numbers: Mapping[str, Tensor]) -> DivergenceError:
        pair = torch.stack([numbers["loss"].float(), numbers["grad_norm"].float()])
        if self._fabric.world_size > 1:
            pair = self._fabric.all_reduce(pair, reduce_op="mean")  # type: ignore[assignment]
        loss, norm = pair.tolist()
        saved = self._last_saved()
        last = "no checkpoint had been saved yet" if saved is None else f"the last good checkpoint is {saved}"
        left_out = f" after {self.skipped} steps were left out" if self.skipped else ""
        exact = "" if self._training.precision == "32-true" else " or training.precision=32-true"
        return DivergenceError(
            f"training diverged at step {step}{left_out}: the loss is {loss:.4g} and the gradient norm "
            f"{norm:.4g}; {last}; try a lower training.optimizer.lr, a smaller training.clip{exact} in a new "
            f"run directory"
        )
