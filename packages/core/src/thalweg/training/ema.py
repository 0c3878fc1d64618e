"""The exponential moving average of a network's weights, which is what samples are drawn with."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from thalweg.training.fully_sharded import local

_WARMUP = 10
"""(1 + n) / (10 + n) averages over the last ninth of a run, whatever its length: the power profile n^8 of
EDM2 (Karras et al. 2024), of relative width 0.09."""


def decay_at(step: int, decay: float, *, warmup: bool) -> float:
    """The decay of a step, counted from 0: min(decay, (1 + step) / (10 + step)) under warm-up."""
    return min(decay, (1 + step) / (_WARMUP + step)) if warmup else decay


def warmup_steps(decay: float) -> int:
    """Steps until warm-up has reached ``decay``, which is below 1."""
    # Less what rounding may have added: 1 - 0.9999 has four digits fewer than 0.9999.
    return max(0, math.ceil((_WARMUP * decay - 1) / (1 - decay) * (1 - 1e-9)))


def initial_share(steps: int, decay: float, *, warmup: bool) -> float:
    """How much of the averaged weights is the initial ones after so many steps: all decays' product."""
    warming = min(steps, warmup_steps(decay)) if warmup else 0
    rising = math.lgamma(warming + 1) + math.lgamma(_WARMUP) - math.lgamma(warming + _WARMUP)
    return math.exp(rising) * decay ** (steps - warming)


class EMA:
    """averaged <- averaged + (1 - decay) * (weight - averaged), from the initial weights on.

    So a weight that never moves keeps its value to the bit. Without warm-up it is, after n updates,
    decay^n w_0 + (1 - decay) sum_i decay^(n - i) w_i. Buffers are not averaged: they are taken from the
    network as they stand. Of a sharded network each process averages its part.

    Args:
        network: whose parameters to follow, placed on its device and sharded if it is to be.
        decay: in [0, 1]; 0 follows at once, 1 never moves.
        warmup: whether the decay rises with the step first (:func:`decay_at`).
    """

    def __init__(self, network: nn.Module, decay: float, *, warmup: bool = False) -> None:
        self._network, self._decay, self._warmup = network, decay, warmup
        self._averages = {name: weight.detach().clone() for name, weight in network.named_parameters()}
        self._weights = [local(weight.detach()) for weight in network.parameters()]
        self._here = [local(average) for average in self._averages.values()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights as they are after ``step``, counted from 0."""
        decay = decay_at(step, self._decay, warmup=self._warmup)
        torch._foreach_lerp_(self._here, self._weights, 1 - decay)

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
