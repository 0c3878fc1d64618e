"""Branches weighted by how their gradients agree with the last one's."""

import copy
import math
import os
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
import torch
from torch import nn

import thalweg
from thalweg import machine
from thalweg.config import component
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.planners.branch_times import BranchTimes
from thalweg.planning import draw_plan
from thalweg.time_samplers.uniform import Uniform
from thalweg.training.components import build_components
from thalweg.training.objectives import StepNetwork
from thalweg.training.step import Losses, has_unused
from thalweg.training.trainer import Trainer
from thalweg.types import Batch, Condition, Plan, Prediction, Step
from thalweg_authoring.numbers import randomised
from tiny_runs import lines, tensor_files, tiny

FACTS = Facts(shape=(4, 8, 8), classes=10)
CONDITION = Condition(torch.tensor([0, 7, 3]))


def objective(branches=2, head_depths=(), **options):
    facts = attrs.evolve(FACTS, branches=branches, head_depths=head_depths)
    return component("objective", {"type": "conflict_velocity", "every": 1, "decay": 0.0, **options}).build(
        facts
    )


class Toy(nn.Module):
    """Velocities that are functions of a weight (1, 1) alone, the target being zero."""

    def __init__(self, *velocities):
        super().__init__()
        self.weight, self.velocities = nn.Parameter(torch.ones(2)), velocities

    def step(self, number, scale=1.0):
        data = torch.zeros(3, 2)
        plan = Plan.at(data, data, torch.full((len(self.velocities), 3), 0.5), Interpolant.named("linear"))
        read = tuple(scale * one(self.weight).expand(3, 2) for one in self.velocities)
        again = StepNetwork(self)
        return Step(plan, Prediction(read), Batch(data, Condition()), again, again.frozen, number, 9)


def first(weight):
    return weight * torch.tensor([1.0, 0.0])


def second(weight):
    return weight * torch.tensor([0.0, 1.0])


CASES = {
    "equal": (lambda w: w, lambda w: 3 * w, 1.0),
    # The errors are (3 - w)^2 and w^2: at w = 1 one pulls up and the other down.
    "opposite": (lambda w: 3 - w, lambda w: w, 0.0),
    "orthogonal": (first, second, 0.0),
    "45 degrees": (first, lambda w: w, math.sqrt(0.5)),
}


@pytest.mark.parametrize("case", CASES)
def test_beta_is_the_cosine_where_it_is_above_zero(case):
    *velocities, expected = CASES[case]
    toy, one = Toy(*velocities), objective()
    before = one(toy.step(0)).parts["beta_1"]
    after = one(toy.step(1)).parts["beta_1"]
    assert float(before) == pytest.approx(0.2)
    assert float(after) == pytest.approx(expected, abs=1e-6)
    assert toy.weight.grad is None


def test_each_branch_has_its_own():
    one = objective(branches=4)
    toy = Toy(lambda w: 3 - w, first, lambda w: 2 * w, lambda w: w)
    one(toy.step(0))
    value = one(toy.step(1))
    assert one.betas.tolist() == pytest.approx([0.0, math.sqrt(0.5), 1.0], abs=1e-6)
    # Errors at w = (1, 1): 4, 1 / 2, 4 and 1.
    torch.testing.assert_close(value.total, torch.full((3,), math.sqrt(0.5) / 2 + 4 + 1))
    assert {name: float(part) for name, part in value.parts.items()} == pytest.approx(
        {"branch_1": 4, "branch_2": 0.5, "branch_3": 4, "branch_4": 1}
        | {"beta_1": 0.0, "beta_2": math.sqrt(0.5), "beta_3": 1.0},
        abs=1e-6,
    )


def test_cosines_are_averaged_before_they_are_cut_off_at_zero():
    """m: 0.2, then 0.5 * 0.2 - 0.5, then 0.5 * -0.4 + 0.5."""
    one = objective(decay=0.5)
    one(Toy(lambda w: 3 - w, lambda w: w).step(0))
    equal = Toy(lambda w: w, lambda w: w)
    one(equal.step(1))
    assert float(one.cosines) == pytest.approx(-0.4)
    assert float(one.betas) == 0.0
    one(equal.step(2))
    assert float(one.betas) == pytest.approx(0.3)


def test_it_measures_every_so_many_steps_alone(monkeypatch):
    asked = []
    gradients = StepNetwork.gradients

    def counted(self, step, losses):
        asked.append(step.number)
        return gradients(self, step, losses)

    monkeypatch.setattr(StepNetwork, "gradients", counted)
    one, toy = objective(every=3, decay=0.5), Toy(first, lambda w: w)
    betas = [round(float(one(toy.step(number)).parts["beta_1"]), 4) for number in range(8)]
    assert asked == [0, 3, 6]
    assert len(set(betas)) == 4
    assert betas[1] == betas[2] == betas[3]
    assert betas[4] == betas[5] == betas[6]


def test_validation_measures_nothing():
    one, toy = objective(), Toy(lambda w: w, lambda w: w)
    state = copy.deepcopy(one.state_dict())
    with torch.no_grad():
        one(toy.step(0))
    one.eval()(toy.step(1))
    assert all(torch.equal(state[name], found) for name, found in one.state_dict().items())


def test_micro_batches_of_a_step_have_one_beta_and_their_mean_counts():
    one = objective(beta=0.25)
    equal, opposite = Toy(lambda w: w, lambda w: w), Toy(lambda w: 3 - w, lambda w: w)
    betas = [float(one(toy.step(0)).parts["beta_1"]) for toy in (equal, equal, equal, opposite)]
    assert betas == 4 * [0.25]
    one(equal.step(1))
    assert float(one.betas) == pytest.approx((3 - 1) / 4)


@pytest.mark.parametrize("scale", [0.0, math.nan])
def test_a_gradient_that_is_zero_or_not_finite_does_not_count(scale):
    one, toy = objective(beta=0.25), Toy(lambda w: w, lambda w: w)
    one(toy.step(0, scale))
    one(toy.step(1, scale))
    assert float(one.betas) == 0.25


def composed(**options):
    backbone = {"type": "dit", "width": 16, "heads": 2, "depth": 4, "patch": 4}
    refiner = {"type": "vera", "channels": [16]}
    stated = {"refiner": refiner, "branches": [1, 2, 4], **options}
    return randomised(thalweg.compose(backbone=backbone, facts=FACTS, **stated))


def drawn(network, number=0):
    clean = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    batch = Batch(clean, CONDITION)
    planner = BranchTimes(Uniform(), network.branches, 0.01)
    plan = draw_plan(planner, batch, torch.Generator().manual_seed(2), Interpolant.named("linear"))
    prediction = network(plan.x_t, plan.times, batch.condition)
    again = StepNetwork(network)
    return Step(plan, prediction, batch, again, again.frozen, number, 9)


def by_hand(network, step, index, names):
    """The gradient of one branch's error by some weights, in a pass of its own."""
    twin = copy.deepcopy(network)
    velocity = twin(step.plan.x_t, step.plan.times, CONDITION).velocities[index]
    (velocity - step.plan.velocity).square().mean().backward()
    return torch.cat([dict(twin.named_parameters())[name].grad.flatten() for name in names])


def test_gradients_are_those_by_the_weights_that_a_branch_and_the_last_one_share():
    """Embeddings and the blocks before the branch's end, with the refiners that stand before it."""
    network = composed()
    step, one = drawn(network), objective(branches=3)
    one(step)
    one(drawn(network, 1))
    names = [name for name, _ in network.named_parameters()]
    shared, expected = [name for name in names if name.startswith("backbone.")], []
    for branch, end in enumerate((1, 2)):
        later = tuple(f"backbone.blocks.{index}." for index in range(end, 4))
        before = [name for name in shared if not name.startswith(later)]
        if branch:
            # The acceleration's layers make tokens too.
            before += [name for name in names if name.startswith(("refiner.time_gap", "refiner.blocks.0."))]
        own, last = (by_hand(network, step, index, before) for index in (branch, 2))
        expected.append(float(own @ last / own.norm() / last.norm()))
    assert one.cosines.tolist() == pytest.approx(expected, rel=1e-4)
    assert len(set(one.cosines.tolist())) == 2


def test_gradients_are_finite_differences():
    network = composed()
    step = drawn(network)
    network.double()
    fields = ("clean", "noise", "times", "x_t", "velocity")
    plan = attrs.evolve(step.plan, **{name: getattr(step.plan, name).double() for name in fields})
    weight = network.backbone.blocks[0].mlp.layers[0].weight

    def errors(prediction):
        return [(one - plan.velocity).square().mean() for one in prediction.velocities]

    prediction = network(plan.x_t, plan.times, CONDITION)
    step = attrs.evolve(step, plan=plan, prediction=prediction)
    found = list(StepNetwork(network).gradients(step, errors))
    direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    values = []
    with torch.no_grad():
        for sign in (1, -1):
            weight.add_(sign * 1e-5 * direction)
            values.append(errors(network(plan.x_t, plan.times, CONDITION)))
            weight.sub_(sign * 1e-5 * direction)
    name = "backbone.blocks.0.mlp.layers.0.weight"
    for gradient, ahead, behind in zip(found, *values, strict=True):
        slope = float((gradient[name] * direction).sum())
        assert slope == pytest.approx(float(ahead - behind) / 2e-5, rel=1e-5)


@pytest.mark.parametrize("detached", [True, False])
def test_heads_of_their_own_are_measured_where_they_supervise_the_trunk(detached):
    network = composed(refiner=None, branches=1, heads=[3], detach_heads=detached)
    one = objective(branches=1, head_depths=(3,), heads=0.75)
    one(drawn(network))
    value = one(drawn(network, 1))
    assert set(value.parts) == {"branch_1", "head_3", "beta_head_3"}
    assert (float(value.parts["beta_head_3"]) == 0.75) is detached


def test_with_betas_that_stay_it_is_velocity():
    """Nothing is measured yet, so that betas are those stated: equal loss and gradients, to the bit."""
    network, found = composed(heads=[3], detach_heads=False), []
    facts = network.facts
    options = {"beta": 0.3, "heads": 0.6}
    fixed = component("objective", {"type": "velocity", **options}).build(facts)
    measured = component("objective", {"type": "conflict_velocity", **options}).build(facts)
    for term in (fixed, measured):
        network.zero_grad()
        step = drawn(network, number=1)
        loss = Losses(network, {"velocity": term})(step.plan, step.batch, 1)["loss"]
        loss.backward()
        grads = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
        found.append({"loss": loss.detach(), **grads})
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][name], one) for name, one in found[1].items())


def test_measuring_leaves_the_training_gradients_as_they_are():
    network, grads = composed(), []
    for every in (1, 5):
        network.zero_grad()
        step = drawn(network)
        term = objective(branches=3, every=every)
        Losses(network, {"velocity": term})(step.plan, step.batch, 5 - every)["loss"].backward()
        grads.append([p.grad for p in network.parameters() if p.grad is not None])
    assert all(map(torch.equal, *grads))


COMPILED = """
import torch
from test_gradient_conflict import composed, drawn, objective
network, found = composed(), []
for compiled in (False, True):
    if compiled:
        network.compile_regions()
        # What is compiled for a backward pass that runs once must not be gone through again.
        drawn(network).prediction.velocities[-1].sum().backward()
    one = objective(branches=3)
    one(drawn(network))
    one(drawn(network, 1)).total.sum().backward()
    found.append(one.cosines)
torch.testing.assert_close(*found)
from torch._dynamo.utils import counters
assert counters["stats"]["unique_graphs"] > 0
"""


@pytest.mark.skipif(machine.compiler() is None, reason="torch.compile needs a C++ compiler, and none is here")
def test_compiled_networks_are_measured_alike():
    # In a process of its own, without the checks of types, which nothing compiles.
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", COMPILED], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_one_velocity_is_refused():
    with pytest.raises(ConfigError, match="the network has none; set branches above 1 or heads, or take"):
        objective(branches=1)


@pytest.mark.parametrize(("option", "value"), [("every", 0), ("decay", 1.0), ("decay", -0.1), ("beta", -1)])
def test_options_outside_their_range_are_refused(option, value):
    with pytest.raises(ConfigError, match=option):
        component("objective", {"type": "conflict_velocity", option: value})


def test_sharded_weights_are_refused():
    network = composed()
    step = drawn(network)
    network.backbone.blocks[0].mlp.layers[0].weight.device_mesh = object()
    with pytest.raises(
        ConfigError, match="which the strategy fsdp shards over processes; use the strategy ddp"
    ):
        objective(branches=3)(step)


def run(**objective):
    stated = {"velocity": {"type": "conflict_velocity", **objective}, "acceleration": {}}
    return {"top": {"objectives": stated}}


def test_a_run_on_sharded_weights_is_refused_before_it_begins(tmp_path: Path):
    config = tiny(**run())
    with pytest.raises(ConfigError, match=r"objectives\.velocity differentiates by the network's weights"):
        Trainer(config, tmp_path / "run", accelerator="cpu", devices=2, strategy="fsdp")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_resumed_run_is_an_uninterrupted_one(tmp_path: Path, accumulate):
    """Stopped just after a measured step, the measurement of which counts from the next one on."""
    options = run(every=2, decay=0.5)
    whole, halves = tmp_path / "whole", tmp_path / "halves"

    def train(folder, steps):
        Trainer(tiny(steps=steps, accumulate=accumulate, **options), folder, quiet=True).train()

    train(whole, 6)
    train(halves, 3)
    train(halves, 6)
    assert tensor_files(whole) == tensor_files(halves)
    assert any("objectives" in name for name in tensor_files(whole))
    found = [line for line in lines(whole) if "velocity/beta_1" in line]
    betas = [line["velocity/beta_1"] for line in found]
    assert [line for line in lines(halves) if line["step"] > 3] == [
        one for one in lines(whole) if one["step"] > 3
    ]
    # Read-outs are zero at first, so that the first step measures nothing.
    assert betas[:3] == pytest.approx(3 * [0.2])
    assert betas[3] != betas[2]
    assert betas[3] == betas[4] != betas[5]


def test_looking_for_parameters_without_gradients_measures_nothing_that_stays():
    parts = build_components(tiny(**run(every=1)))
    randomised(parts.network)
    losses = Losses(parts.network, parts.objectives)
    before = copy.deepcopy(losses.objectives.state_dict())
    has_unused(losses, parts.planner, parts.dataset.train, 0, 3)
    after = losses.objectives.state_dict()
    assert all(torch.equal(before[name], found) for name, found in after.items())
