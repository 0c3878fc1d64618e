"""Tensors come to a device without a wait for it, and never before they are read."""

import pytest
import torch

from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.planners.branch_times import BranchTimesConfig
from thalweg.planning import draw_plan
from thalweg.randomness import generator
from thalweg.transfers import moved
from thalweg.types import Batch, Condition, Text


@pytest.fixture
def copies(monkeypatch):
    """Device and ``non_blocking`` of every copy to another device; nothing is moved."""
    made, to = [], torch.Tensor.to

    def recorded(tensor, *given, **named):
        if "non_blocking" not in named and (not given or isinstance(given[0], torch.dtype)):
            return to(tensor, *given, **named)
        made.append((str(given[0]), named.get("non_blocking", False)))
        return tensor

    monkeypatch.setattr(torch.Tensor, "to", recorded)
    return made


@pytest.mark.parametrize(
    ("device", "waits"), [("cuda", False), ("cuda:1", False), ("cpu", True), ("mps", True)]
)
def test_only_the_way_to_cuda_does_not_wait(device, waits, copies):
    moved(torch.zeros(2), device)
    moved(torch.zeros(2), torch.device(device))
    assert copies == [(device, not waits)] * 2


def test_pinned_memory_may_change_at_once(copies, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "is_pinned", lambda _: True)
    moved(torch.zeros(2), "cuda")
    assert copies == [("cuda", False)]


def test_nothing_of_a_batch_waits(copies):
    text = Text(
        torch.zeros(2, 3, 4),
        torch.ones(2, 3, dtype=torch.bool),
        torch.zeros(3, 4),
        torch.ones(3, dtype=torch.bool),
    )
    condition = Condition(torch.arange(2), torch.zeros(2, dtype=torch.bool), text)
    Batch(
        torch.zeros(2, 1, 4, 4),
        condition,
        {"teacher": torch.zeros(2, 4, 5)},
        torch.zeros(2, 3, 8, 8, dtype=torch.uint8),
    ).to("cuda")
    assert len(copies) >= 9
    assert set(copies) == {("cuda", True)}


def test_a_plan_is_what_it_was():
    batch = Batch(torch.zeros(4, 1, 4, 4), Condition())
    planner = BranchTimesConfig().build(Facts(shape=(1, 4, 4), branches=2))
    plan = draw_plan(planner, batch, generator(0, "plan"), Interpolant.named("linear"))
    draws = generator(0, "plan")
    assert torch.equal(plan.noise, torch.randn(4, 1, 4, 4, generator=draws))
    assert torch.equal(plan.times, planner.times(4, draws, Interpolant.named("linear")))
