"""Moving averages of weights, whatever their decays are."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Decay = Callable[[int], float]
"""The decay of a step, counted from 0; in [0, 1]: 0 follows at once, 1 never moves."""


class MovingAverages:
    """averaged <- averaged + (1 - decay) * (weight - averaged), from the initial weights on.

    So a weight that never moves keeps its value to the bit. Buffers are not averaged: they are taken from the
    network as they stand. Of a network sharded by FSDP2 each process averages its share. Fulfils
    :class:`thalweg.protocols.Averages`.

    Args:
        network: whose parameters to follow, placed on its device and sharded if it is to be.
        decays: by name; the first is the main one.

    Attributes:
        names: of the averages, the main one first. Where a method is given none, the main one is meant.
    """

    def __init__(self, network: nn.Module, decays: Mapping[str, Decay]) -> None:
        self._network, self._decays = network, dict(decays)
        self.names = tuple(self._decays)
        # Values alone, by .data: what autograd has saved of a weight stays valid while it is exchanged.
        self._weights = [_here(weight) for weight in network.parameters()]
        self._averages = {
            name: {key: weight.detach().clone() for key, weight in network.named_parameters()}
            for name in self.names
        }
        self._shares = {name: [_here(one) for one in own.values()] for name, own in self._averages.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights as they are after ``step``, counted from 0."""
        for name, decay in self._decays.items():
            torch._foreach_lerp_(self._shares[name], self._weights, 1 - decay(step))

    @contextmanager
    def applied(self, name: str | None = None) -> Iterator[None]:
        """Inside, the network computes with the averages."""
        self._exchange(self._shares[self._named(name)])
        try:
            yield
        finally:
            self._exchange(self._shares[self._named(name)])

    def state_dict(self, name: str | None = None) -> dict[str, Tensor]:
        """The network's state with averages in place of the weights: it loads as a network."""
        return {**self._network.state_dict(), **self._averages[self._named(name)]}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor], name: str | None = None) -> None:
        """Take averages from a state that :meth:`state_dict` gave.

        Raises:
            KeyError: if one is missing.
        """
        for key, average in self._averages[self._named(name)].items():
            average.copy_(state[key])

    def _named(self, name: str | None) -> str:
        return self.names[0] if name is None else name

    @torch.no_grad()
    def _exchange(self, averages: list[Tensor]) -> None:
        # By value: wrappers and compiled code hold references to the tensors of the weights.
        for weight, average in zip(self._weights, averages, strict=True):
            held = weight.clone()
            weight.copy_(average)
            average.copy_(held)


@torch.no_grad()
def _here(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor; shares its memory, and not its version counter."""
    to_local = getattr(tensor.detach(), "to_local", None)  # of a DTensor
    return (tensor if to_local is None else to_local()).data
