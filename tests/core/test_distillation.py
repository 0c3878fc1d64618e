"""Distillation: intermediate heads learn from the last one of the EMA weights."""

import pytest
import torch

from objective_steps import built, composed, planned, step_of
from thalweg import Trainer
from thalweg.training.components import build_components
from thalweg.training.step import Losses
from thalweg.types import Prediction
from tiny_runs import lines, tensor_files, tiny

NETWORK = composed(depth=6, branches=3)


def taught(velocity, asked=None):
    """The averaged network, with an answer."""

    def averaged(*question, **options):
        if asked is not None:
            asked.append((question, options))
        return Prediction((velocity,))

    return averaged


def test_it_is_the_error_of_each_head_to_the_averaged_velocity():
    plan, batch = planned(NETWORK)
    target = torch.randn(plan.velocity.shape, generator=torch.Generator().manual_seed(9))
    heads = {2: target + 1, 4: target - 2}
    asked = []
    step = step_of(
        NETWORK, plan, batch, Prediction((plan.velocity,), heads=heads), averaged=taught(target, asked)
    )
    value = built(NETWORK.facts, "distillation")(step)
    torch.testing.assert_close(value.total, torch.full((5,), 1.0 + 4.0))
    assert {name: float(part) for name, part in value.parts.items()} == pytest.approx(
        {"after_2": 1.0, "after_4": 4.0}
    )
    one = built(NETWORK.facts, "distillation", after=4)(step)
    torch.testing.assert_close(one.total, torch.full((5,), 4.0))
    assert not one.parts
    ((x_t, times, condition), options), _ = asked
    assert x_t is plan.x_t
    assert times is plan.times
    assert condition is batch.condition
    assert options == {"last_only": True}


def test_only_the_heads_learn():
    plan, batch = planned(NETWORK)
    last, target = (torch.zeros_like(plan.velocity, requires_grad=True) for _ in range(2))
    heads = {2: torch.ones_like(last).requires_grad_(), 4: torch.ones_like(last).requires_grad_()}
    prediction = Prediction((*heads.values(), last), heads=heads)
    step = step_of(NETWORK, plan, batch, prediction, averaged=taught(target.detach()))
    built(NETWORK.facts, "distillation", after=2)(step).total.sum().backward()
    assert heads[2].grad.any()
    assert heads[4].grad is None
    assert last.grad is None


def test_a_head_of_its_own_learns_alone():
    network = composed(heads=[1])
    losses = Losses(network, {"distillation": built(network.facts, "distillation")})
    losses(*planned(network))["loss"].backward()
    moved = {
        name.split(".")[0]
        for name, one in network.named_parameters()
        if one.grad is not None and one.grad.any()
    }
    assert moved == {"velocity_heads"}


def test_the_teacher_has_the_weights_of_the_average():
    """A head that says what the average's last head says costs nothing, however the network has moved on."""
    plan, batch = planned(NETWORK)
    older = composed(depth=6, branches=3)
    with torch.no_grad():
        for parameter in older.parameters():
            parameter.mul_(0.5)
    velocity = older(plan.x_t, plan.times, batch.condition).velocities[-1]
    prediction = Prediction((plan.velocity,), heads={2: velocity, 4: velocity})
    again = taught(velocity)
    objective = built(NETWORK.facts, "distillation")
    assert not objective(step_of(NETWORK, plan, batch, prediction, averaged=again)).total.any()
    assert (objective(step_of(NETWORK, plan, batch, prediction)).total > 0).all()


TOP = {"objectives": {"velocity": {}, "acceleration": {}, "distillation": {}}}


def test_training_hands_it_the_averaged_network():
    parts = build_components(tiny(top=TOP))
    losses = Losses(parts.network, parts.objectives)
    plan, batch = planned(parts.network)
    own = parts.network(plan.x_t, plan.times, batch.condition).velocities
    losses.averaged = taught(own[0] + 3)
    assert float(losses(plan, batch)["distillation"]) == pytest.approx(9.0, rel=1e-4)


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path):
    def train(steps, folder):
        config = tiny(top=TOP, steps=steps, validate_every=0)
        Trainer(config, tmp_path / folder, accelerator="cpu", quiet=True).train()
        return tensor_files(tmp_path / folder), lines(tmp_path / folder)

    train(2, "cut")
    cut, whole = train(6, "cut"), train(6, "whole")
    assert cut == whole
    assert whole[1][-1]["distillation"] > 0
