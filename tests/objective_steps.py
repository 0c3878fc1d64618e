"""Steps as objectives see them, of small networks and hand-made predictions."""

from collections.abc import Callable
from typing import Any

import torch

import thalweg
from thalweg.composition import seeded
from thalweg.config import component
from thalweg.facts import Facts
from thalweg.network import FlowNetwork
from thalweg.planners.branch_times import BranchTimes
from thalweg.planning import draw_plan
from thalweg.time_samplers.uniform import Uniform
from thalweg.training.objectives import StepNetwork
from thalweg.types import Batch, Condition, Plan, Prediction, Step
from thalweg_authoring.numbers import draws, randomised

FACTS = Facts(shape=(2, 8, 8), classes=4)


def composed(depth: int = 4, branches: int = 1, facts: Facts = FACTS, **options: Any) -> FlowNetwork:
    """A small transformer in which no layer is zero."""
    backbone = {"type": "dit", "patch": 2, "width": 16, "depth": depth, "heads": 2}
    refiner = None if branches == 1 else "plain"
    network: FlowNetwork = randomised(
        thalweg.compose(backbone=backbone, refiner=refiner, branches=branches, facts=facts, **options)
    )
    return network


def built(facts: Facts, kind: str, **options: Any) -> Any:
    """An objective as training builds it."""
    with seeded(0, torch.device("cpu")):
        return component("objective", {"type": kind, **options}).build(facts)


def planned(network: FlowNetwork, count: int = 5, seed: int = 0, labels: Any = None) -> tuple[Plan, Batch]:
    """A plan, and its batch with labels 0, 1, ... in turn if no others are given."""
    turns = torch.arange(count) % 4 if labels is None else torch.tensor(labels)
    count = len(turns)
    batch = Batch(draws(count, *network.facts.shape, seed=seed), Condition(turns))
    planner = BranchTimes(Uniform(), network.branches, 0.01)
    drawn = draw_plan(planner, batch, torch.Generator().manual_seed(seed), network.interpolant)
    return drawn, batch


def step_of(
    network: FlowNetwork,
    plan: Plan,
    batch: Batch,
    prediction: Prediction,
    *,
    averaged: Callable[..., Prediction] | None = None,
    number: int = 0,
    total: int = 1,
) -> Step:
    """The step that an objective is shown."""
    again = StepNetwork(network)
    return Step(plan, prediction, batch, again, averaged or again.frozen, number, total)


def hidden_step(
    network: FlowNetwork, objective: Any, plan: Plan, batch: Batch, *states: torch.Tensor
) -> Step:
    """A step whose hidden states are given, one for each depth that the objective reads."""
    hidden = dict(zip(objective.hidden, states, strict=True))
    return step_of(network, plan, batch, Prediction((plan.velocity,), hidden=hidden))
