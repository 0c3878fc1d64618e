"""Objectives ask the averaged network within a step, and gradients of the trained one stay right."""

import copy
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import thalweg
from thalweg import Trainer
from thalweg.averages.ema import EMA
from thalweg.facts import Facts
from thalweg.network import FlowNetwork
from thalweg.training.objectives import AveragedNetwork
from thalweg.types import Condition, ObjectiveValue, Step
from thalweg_authoring.numbers import randomised
from tiny_runs import lines, tiny

FACTS = Facts(shape=(4, 8, 8), classes=10)
CONDITION = Condition(torch.tensor([0, 7, 3]))


def composed(**more: Any) -> FlowNetwork:
    backbone = {"type": "dit", "width": 32, "heads": 4, "depth": 4, **more}
    refiner = {"type": "vera", "channels": [16]}
    return randomised(thalweg.compose(backbone=backbone, refiner=refiner, branches=2, facts=FACTS))


def bf16() -> Any:
    return torch.autocast("cpu", torch.bfloat16)


def parted(network: FlowNetwork) -> tuple[EMA, FlowNetwork]:
    """Averages that are far from the weights, and a network of its own that has them."""
    averages = EMA(network, (0.5, 0.1))
    generator = torch.Generator().manual_seed(5)
    for parameter in network.parameters():
        parameter.data.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    averages.update(0)
    twin = copy.deepcopy(network)
    twin.load_state_dict(averages.state_dict())
    return averages, twin


def question() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 4, 8, 8, generator=generator), torch.rand(2, 3, generator=generator)


@pytest.mark.parametrize("precision", [nullcontext, bf16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("first", ["trained", "averaged"])
def test_gradients_of_a_loss_that_uses_both_are_right(
    precision: Any, checkpointing: bool, first: str
) -> None:
    network = composed(checkpointing=checkpointing)
    averages, twin = parted(network)
    asked = AveragedNetwork(network, averages, lambda: None, precision)
    x, times = question()
    before = {name: one.detach().clone() for name, one in network.named_parameters()}
    versions = [one._version for one in network.parameters()]
    network.train()
    with precision():
        wanted = asked(x, 0.5 * times, CONDITION) if first == "averaged" else None
        now = network(x, times, CONDITION)
        wanted = asked(x, 0.5 * times, CONDITION) if wanted is None else wanted
        again = network(x, 0.7 * times, CONDITION)
    loss = sum(
        (a.float() - w.float()).square().mean() + (b.float() - w.float()).square().mean()
        for a, b, w in zip(now.velocities, again.velocities, wanted.velocities, strict=True)
    )
    assert isinstance(loss, torch.Tensor)
    loss.backward()

    reference = copy.deepcopy(network)
    reference.zero_grad()
    with torch.no_grad(), precision():
        expected = twin.eval()(x, 0.5 * times, CONDITION)
    for found, one in zip(wanted.velocities, expected.velocities, strict=True):
        assert torch.equal(found, one)
        assert not found.requires_grad
    with precision():
        now, again = reference(x, times, CONDITION), reference(x, 0.7 * times, CONDITION)
    total = sum(
        (a.float() - w.float()).square().mean() + (b.float() - w.float()).square().mean()
        for a, b, w in zip(now.velocities, again.velocities, expected.velocities, strict=True)
    )
    assert isinstance(total, torch.Tensor)
    total.backward()
    for mine, theirs in zip(network.parameters(), reference.parameters(), strict=True):
        assert (mine.grad is None) == (theirs.grad is None)
        assert mine.grad is None or torch.equal(mine.grad, theirs.grad)
    assert all(torch.equal(one, before[name]) for name, one in network.named_parameters())
    assert versions == [one._version for one in network.parameters()]
    assert all(module.training for module in network.modules())


def test_where_an_average_is_applied_already_the_main_one_is_asked_all_the_same() -> None:
    network = composed()
    averages, twin = parted(network)
    asked = AveragedNetwork(network, averages, lambda: None, nullcontext)
    x, times = question()
    expected = twin.eval()(x, times, CONDITION).velocities[-1]
    held = [one.detach().clone() for one in network.parameters()]
    for name in averages.names:
        with asked.applied(name):
            assert torch.equal(asked(x, times, CONDITION).velocities[-1], expected)
            here = dict(network.named_parameters())
            assert all(
                torch.equal(here[key], one) for key, one in _state(averages, name, held, network).items()
            )
    assert all(torch.equal(one, two) for one, two in zip(held, network.parameters(), strict=True))


def _state(averages: EMA, name: str, held: list[torch.Tensor], network: nn.Module) -> dict[str, torch.Tensor]:
    """What an average is, told from the weights, which are applied now: halfway, or nine tenths."""
    # averaged = decay initial + (1 - decay) weight, and the main one is kept exchanged for the weights here.
    share = 1 - float(name)
    initial = {key: one.detach() for key, one in composed().named_parameters()}
    names = [key for key, _ in network.named_parameters()]
    return {key: initial[key].lerp(weight, share) for key, weight in zip(names, held, strict=True)}


def test_a_copy_in_the_background_is_waited_for() -> None:
    network = composed()
    averages, _ = parted(network)
    done, asked_when = threading.Event(), []

    def settle() -> None:
        done.wait(5)
        asked_when.append([one.detach().clone() for one in network.parameters()])

    asked = AveragedNetwork(network, averages, settle, nullcontext)
    threading.Timer(0.2, done.set).start()
    held = [one.detach().clone() for one in network.parameters()]
    asked(*question(), CONDITION)
    assert all(torch.equal(one, two) for one, two in zip(held, asked_when[0], strict=True))


class Distilled:
    """How far the answer is from the averaged network's."""

    weight = 1.0

    def __init__(self) -> None:
        self.gaps: list[tuple[int, bool, float]] = []

    def __call__(self, step: Step) -> ObjectiveValue:
        assert step.averaged is not None
        wanted = step.averaged(step.plan.x_t, step.plan.times, step.batch.condition, last_only=True)
        gap = (step.prediction.velocities[-1] - wanted.velocities[-1]).flatten(1).square().mean(dim=1)
        error = (step.prediction.velocities[-1] - step.plan.velocity).flatten(1).square().mean(dim=1)
        self.gaps.append((step.number, torch.is_grad_enabled(), float(gap.detach().mean())))
        return ObjectiveValue(gap + error)


def test_in_a_run_the_averages_lag_behind_and_in_validation_they_are_what_is_measured(tmp_path: Path) -> None:
    config = tiny(
        steps=4, optimizer={"lr": 0.01}, average={"decay": [0.9, 0.0], "warmup": False}, validate_every=4
    )
    objective = Distilled()
    trainer = Trainer(config, tmp_path, accelerator="cpu", objectives={"mine": objective}, quiet=True)
    trainer.train()
    training = [gap for _, grad, gap in objective.gaps if grad]
    assert training[0] == 0  # the average is the initial weights
    assert all(gap > 0 for gap in training[1:])
    measured = [gap for _, grad, gap in objective.gaps if not grad]
    # What is measured is an average itself, two batches with each.
    assert measured == [0, 0, 0, 0]
    assert lines(tmp_path)[-1]["validation/0.0/mine"] != lines(tmp_path)[-1]["validation/mine"]
