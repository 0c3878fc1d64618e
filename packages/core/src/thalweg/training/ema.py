"""The exponential moving average of a network's weights, which is what samples are drawn with."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from thalweg.training.fully_sharded import local


class EMA:
    """averaged <- decay * averaged + (1 - decay) * weight, from the initial weights on.

    After n updates it is decay^n w_0 + (1 - decay) sum_i decay^(n - i) w_i. Buffers are not averaged:
    they are taken from the network as they stand. Of a sharded network each process averages its part.

    Args:
        network: whose parameters to follow, placed on its device and sharded if it is to be.
        decay: in [0, 1]; 0 follows at once, 1 never moves.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._network, self._decay = network, decay
        self._averages = {name: weight.detach().clone() for name, weight in network.named_parameters()}
        self._weights = [local(weight.detach()) for weight in network.parameters()]
        self._here = [local(average) for average in self._averages.values()]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now."""
        torch._foreach_lerp_(self._here, self._weights, 1 - self._decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the network computes with the averages."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def state_dict(self) -> dict[str, Tensor]:
        """The network's state with averages in place of the weights: it loads as a network."""
        return {**self._network.state_dict(), **self._averages}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take averages from a state that :meth:`state_dict` gave.

        Raises:
            KeyError: if one is missing.
        """
        for name, average in self._averages.items():
            average.copy_(state[name])

    @torch.no_grad()
    def _exchange(self) -> None:
        # By value: wrappers and compiled code keep hold of where the weights lie.
        for weight, average in zip(self._weights, self._here, strict=True):
            held = weight.clone()
            weight.copy_(average)
            average.copy_(held)
