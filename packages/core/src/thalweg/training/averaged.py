"""The network with its averaged weights: for validation and samples, and for objectives within a step."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor

from thalweg.network import FlowNetwork
from thalweg.network_field import evaluating
from thalweg.protocols import Averages
from thalweg.types import Condition, Prediction


class AveragedNetwork:
    """Asks the network with averaged weights, which are exchanged with the trained ones for as long.

    It is one network still, so this costs no memory, and sharded and compiled networks serve as they are.

    Args:
        network: what is trained, placed and sharded.
        averages: of its weights.
        settle: waits until weights may change.
        precision: makes the context to compute in.
    """

    def __init__(
        self,
        network: FlowNetwork,
        averages: Averages,
        settle: Callable[[], None],
        precision: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self._network, self._averages = network, averages
        self._settle, self._precision = settle, precision
        self._current: str | None = None

    @contextmanager
    def applied(self, name: str) -> Iterator[None]:
        """Inside, the network computes with an average."""
        if name == self._current:
            yield
            return
        self._settle()
        before, self._current = self._current, name
        try:
            with self._averages.applied(name):
                yield
        finally:
            self._current = before

    @torch.no_grad()
    def __call__(
        self,
        x_t: Tensor,
        times: Tensor,
        condition: Condition | None = None,
        *,
        last_only: bool = False,
        hidden: tuple[int, ...] = (),
    ) -> Prediction:
        """As :meth:`thalweg.network.FlowNetwork.forward` with the main average, without gradients.

        What autograd has recorded of the trained weights stays valid. Where another average is applied, it
        is the main one that is asked all the same.
        """
        with (
            self.applied(self._averages.names[0]),
            evaluating([self._network]),
            self._precision(),
            _uncached(),
        ):
            prediction: Prediction = self._network(x_t, times, condition, last_only=last_only, hidden=hidden)
        return prediction


@contextmanager
def _uncached() -> Iterator[None]:
    """Inside, autocast does not take a weight for what it was in this step's other passes."""
    before = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(before)
