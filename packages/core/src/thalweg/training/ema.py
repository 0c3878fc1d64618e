"""The exponential moving average of a network's weights, which is what samples are drawn with."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class EMA:
    """averaged <- decay * averaged + (1 - decay) * weight, from the initial weights on.

    After n updates it is decay^n w_0 + (1 - decay) sum_i decay^(n - i) w_i. Buffers are not averaged:
    they are taken from the network as they stand.

    Args:
        network: whose parameters to follow.
        decay: in [0, 1]; 0 follows at once, 1 never moves.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._network, self._decay = network, decay
        named = dict(network.named_parameters())
        self._names, self._weights = list(named), list[Tensor](named.values())
        self._averages = [weight.detach().clone() for weight in self._weights]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now."""
        torch._foreach_lerp_(self._averages, self._weights, 1 - self._decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the network computes with the averages; nothing is copied."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def state_dict(self) -> dict[str, Tensor]:
        """The network's state with averages in place of the weights: it loads as a network."""
        return {**self._network.state_dict(), **dict(zip(self._names, self._averages, strict=True))}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take averages from a state that :meth:`state_dict` gave.

        Raises:
            KeyError: if one is missing.
        """
        for name, average in zip(self._names, self._averages, strict=True):
            average.copy_(state[name])

    def _swap(self) -> None:
        for index, weight in enumerate(self._weights):
            weight.data, self._averages[index] = self._averages[index], weight.data
