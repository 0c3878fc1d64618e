"""Several optimisers as one, each over parameters of its own."""

from collections.abc import Callable, Mapping
from typing import Any

import torch


class Combined(torch.optim.Optimizer):
    """One optimiser towards gradient scaling, checkpoints and schedules, whose steps are those of its parts.

    Parameter groups and state are the parts' own, under one roof: a learning rate that is set in a group
    here is the part's.

    Args:
        parts: optimisers without a step done, no parameter of which is another's.
    """

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        self._parts = parts
        self._counts = [len(part.param_groups) for part in parts]
        super().__init__([group for part in parts for group in part.param_groups], {})
        self._share()

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Loading a state puts other groups in the place of the first ones; the parts get them too."""
        super().__setstate__(dict(state))
        self._share()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of each part, with the gradients that are there."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self._parts:
            part.step()
        return loss

    def _share(self) -> None:
        begin = 0
        for part, count in zip(self._parts, self._counts, strict=True):
            part.state, part.param_groups = self.state, self.param_groups[begin : begin + count]
            begin += count
