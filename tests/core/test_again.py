"""Objectives ask the network again: with gradients, without, and for its derivative along a direction."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import thalweg
from thalweg import machine
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.network import FlowNetwork
from thalweg.planners.branch_times import BranchTimes
from thalweg.planning import draw_plan
from thalweg.time_samplers.uniform import Uniform
from thalweg.training.objectives import StepNetwork
from thalweg.training.step import Losses
from thalweg.types import Batch, Condition, ObjectiveValue
from thalweg_authoring.numbers import randomised

FACTS = Facts(shape=(4, 8, 8), classes=10)
CONDITION = Condition(torch.tensor([0, 7, 3]))


def composed(qk_norm=False) -> FlowNetwork:
    backbone = {"type": "dit", "width": 32, "heads": 4, "depth": 4, "qk_norm": qk_norm}
    refiner = {"type": "vera", "channels": [16]}
    return randomised(thalweg.compose(backbone=backbone, refiner=refiner, branches=2, facts=FACTS))


def question(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    x, d_x = torch.randn(2, 3, 4, 8, 8, generator=generator).to(dtype)
    times = (0.2 + 0.6 * torch.rand(2, 3, generator=generator)).to(dtype)
    return x, times, d_x, torch.tensor([[1.0], [0.5]], dtype=dtype).expand(2, 3)


@pytest.mark.parametrize("qk_norm", [False, True])
def test_the_derivative_is_that_of_central_differences(qk_norm):
    network = composed(qk_norm).double()
    x, times, d_x, d_times = question(torch.float64)
    found = StepNetwork(network).jvp(x, times, CONDITION, d_x, d_times)
    step = 1e-4  # the time embedding is float32, so that smaller steps drown in its rounding
    ahead = network(x + step * d_x, times + step * d_times, CONDITION)
    behind = network(x - step * d_x, times - step * d_times, CONDITION)
    for tangent, a, b in zip(found.velocities, ahead.velocities, behind.velocities, strict=True):
        expected = ((a - b) / (2 * step)).detach()
        assert (tangent - expected).norm() < 2e-3 * expected.norm()
        assert not tangent.requires_grad
    assert set(found.readouts) == {"acceleration"}


def test_a_direction_that_is_zero_has_no_derivative():
    x, times, d_x, d_times = question()
    found = StepNetwork(composed()).jvp(x, times, CONDITION, 0 * d_x, 0 * d_times)
    assert not any(one.any() for one in found.velocities)


def test_the_derivative_is_one_of_float32_in_mixed_precision_too():
    network, (x, times, d_x, d_times) = composed(), question()
    expected = StepNetwork(network).jvp(x, times, CONDITION, d_x, d_times)
    with torch.autocast("cpu", torch.bfloat16):
        again = StepNetwork(network, lambda: torch.autocast("cpu", torch.bfloat16))
        # A direction may be what the network predicted in bfloat16.
        found = again.jvp(x, times, CONDITION, d_x.bfloat16().requires_grad_(), d_times.bfloat16())
    for one, other in zip(found.velocities, expected.velocities, strict=True):
        assert one.dtype == torch.float32
        assert not one.requires_grad
        assert (one - other).norm() < 1e-2 * other.norm()


COMPILED = """
import torch, thalweg
from test_again import CONDITION, composed, question
from thalweg.training.objectives import StepNetwork
network, (x, times, d_x, d_times) = composed(), question()
expected = StepNetwork(network).jvp(x, times, CONDITION, d_x, d_times)
network.compile_regions()
again = StepNetwork(network)
for _ in range(2):
    again(x, times, CONDITION).velocities[-1].sum().backward()
    found = again.jvp(x, times, CONDITION, d_x, d_times)
    for one, other in zip(found.velocities, expected.velocities, strict=True):
        assert other.any()
        torch.testing.assert_close(one, other)
from torch._dynamo.utils import counters
assert counters["stats"]["unique_graphs"] > 0
"""


@pytest.mark.skipif(machine.compiler() is None, reason="torch.compile needs a C++ compiler, and none is here")
def test_compiled_code_loses_no_derivative():
    # In a process of its own, without the checks of types, which nothing compiles.
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", COMPILED], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"d_x": torch.ones(4, 8, 8)}, r"d_x has shape \(4, 8, 8\); .* \(3, 4, 8, 8\)"),
        ({"d_times": torch.ones(3)}, r"d_times has shape \(3,\); .* \(2, 3\)"),
    ],
)
def test_a_direction_of_another_shape_is_refused(wrong, said):
    x, times, d_x, d_times = question()
    with pytest.raises(thalweg.DataError, match=said):
        StepNetwork(composed()).jvp(x, times, CONDITION, **{"d_x": d_x, "d_times": d_times, **wrong})


def test_asked_again_it_gives_gradients_and_frozen_it_gives_none():
    network = composed()
    again, (x, times, _, _) = StepNetwork(network), question()
    assert torch.equal(again(x, times, CONDITION).velocities[-1], network(x, times, CONDITION).velocities[-1])
    assert again(x, times, CONDITION).velocities[-1].requires_grad
    assert not again.frozen(x, times, CONDITION).velocities[-1].requires_grad


class Consistency:
    """The error, and how far the answer moves when it is asked at another time: a second pass."""

    weight = 1.0

    def __init__(self):
        self.seen = []

    def __call__(self, step):
        later = step.network(step.plan.x_t, step.plan.times * 0.5, step.batch.condition)
        moved = later.velocities[-1].float() - step.prediction.velocities[-1].float()
        error = step.prediction.velocities[-1].float() - step.plan.velocity
        averaged = step.averaged(step.plan.x_t, step.plan.times, step.batch.condition)
        assert torch.equal(averaged.velocities[-1], step.prediction.velocities[-1])
        assert not averaged.velocities[-1].requires_grad
        self.seen.append((step.number, step.total, later.velocities[-1].dtype))
        return ObjectiveValue((error.square() + moved.square()).flatten(1).mean(dim=1))


def drawn():
    clean = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    batch, planner = Batch(clean, CONDITION), BranchTimes(Uniform(), 2, 0.01)
    return draw_plan(planner, batch, torch.Generator().manual_seed(2), Interpolant.named("linear")), batch


def test_a_loss_that_asks_twice_has_the_gradients_of_both_passes():
    network, objective = composed(), Consistency()
    plan, batch = drawn()
    Losses(network, {"mine": objective}, steps=9)(plan, batch, 4)["loss"].backward()
    found = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    twin = copy.deepcopy(network)
    twin.zero_grad()
    first = twin(plan.x_t, plan.times, CONDITION).velocities[-1]
    second = twin(plan.x_t, plan.times * 0.5, CONDITION).velocities[-1]
    ((first - plan.velocity).square() + (second - first).square()).mean().backward()
    expected = {name: p.grad for name, p in twin.named_parameters() if p.grad is not None}
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)
    assert objective.seen == [(4, 9, torch.float32)]


def test_asked_again_it_computes_in_the_precision_of_the_first_pass():
    network, objective = composed(), Consistency()
    plan, batch = drawn()
    with torch.autocast("cpu", torch.bfloat16):
        Losses(network, {"mine": objective})(plan, batch)["loss"].backward()
    assert objective.seen[0][2] == torch.bfloat16


def test_a_loss_of_the_batch_is_one_number():
    class Spread:
        weight, of_batch, hidden = 1.0, True, (2,)

        def __call__(self, step):
            flat = step.prediction.hidden[2].float().flatten(1)
            distances = torch.cdist(flat, flat).square() / flat.shape[1]
            return ObjectiveValue((-distances).exp().mean().log())

    network = composed()
    numbers = Losses(network, {"spread": Spread()})(*drawn())
    assert numbers["spread"].shape == ()
    numbers["loss"].backward()
    assert network.backbone.blocks[0].mlp.layers[0].weight.grad.any()
