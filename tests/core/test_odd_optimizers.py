"""Optimisers of strangers whose state would not come back as it was: that is told when it is saved."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from thalweg.errors import ConfigError, DataError, PluginError
from thalweg.training.optimizer import OptimizerState, make_optimizer


class Odd(torch.optim.Optimizer):
    """Keeps what it is told to."""

    def __init__(self, parameters: Any, keep: Callable[["Odd", Any], None]) -> None:
        self.keep = keep
        super().__init__(parameters, {"lr": 1e-3})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        del closure
        for group in self.param_groups:
            for parameter in group["params"]:
                self.keep(self, parameter)


def moments(keep: Callable[[Odd, Any], None]) -> OptimizerState:
    module = nn.Linear(2, 3)
    made = make_optimizer(lambda parameters, _: Odd(list(parameters.values()), keep), module, fused=False)
    found = OptimizerState(module, made)
    made.step()
    return found


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        (lambda odd, p: odd.state[p].update(x=math.nan), r"weight/x is nan, which cannot be saved"),
        (lambda odd, p: odd.state[p].update(x=[1]), r"weight/x is a list, which cannot be saved"),
        (lambda odd, p: odd.state[p].update({"a/b": 1}), r"weight/a/b has a name with a slash"),
        (lambda odd, p: odd.state[p].update(x=torch.ones(2, dtype=torch.complex64)), "x is complex"),
        (lambda odd, _: odd.state.update(all={"n": 1}), r"keeps a state of 'all', which is no parameter"),
        (
            lambda odd, _: odd.param_groups[0].update(n=torch.ones(())),
            r"group holds 'n', a Tensor that changes",
        ),
        (lambda odd, _: odd.param_groups[0].update(n=math.inf), r"of a group, n, is inf"),
    ],
)
def test_a_state_that_would_be_lost_is_refused(keep: Callable[[Odd, Any], None], said: str) -> None:
    with pytest.raises(DataError, match=said):
        moments(keep).tensors()


def test_what_does_not_change_in_a_group_is_no_state() -> None:
    module = nn.Linear(2, 3)
    for made in (
        torch.optim.Adam(module.parameters(), lr=torch.tensor(1e-3), foreach=False),
        torch.optim.SGD(module.parameters(), lr=1e-3, momentum=0.9),
    ):
        assert OptimizerState(module, made).tensors() == {}


def test_an_optimiser_that_asks_for_the_loss_again_is_refused() -> None:
    with pytest.raises(PluginError, match="makes a LBFGS, which needs the loss again, by a closure"):
        make_optimizer(
            lambda parameters, _: torch.optim.LBFGS(parameters.values()), nn.Linear(2, 3), fused=False
        )


def test_a_network_that_is_frozen_altogether_is_refused() -> None:
    module = nn.Linear(2, 3).requires_grad_(False)
    with pytest.raises(ConfigError, match="no parameter is to be trained"):
        make_optimizer(lambda parameters, _: torch.optim.SGD(parameters.values()), module, fused=False)
