"""Self-alignment, and the generator that a step offers to objectives."""

import attrs
import pytest
import torch
from torch import nn

from objective_steps import FACTS, built, composed, planned, step_of
from thalweg import Trainer
from thalweg.config import component
from thalweg.errors import ConfigError
from thalweg.planning import draw_plan
from thalweg.training.components import build_components
from thalweg.training.step import Losses, has_unused
from thalweg.types import Prediction
from thalweg_authoring.numbers import draws
from tiny_runs import lines, tensor_files, tiny

NETWORK = composed(depth=4, branches=2)


def objective_of(network=NETWORK, **options):
    return built(network.facts, "self_alignment", **{"channels": [8], **options})


def asked(objective, plan, batch):
    """What the averaged network is asked, and the value; its tokens are ones."""
    seen = []

    def averaged(*question, **options):
        seen.append((*question, options))
        return Prediction((), hidden={objective.teacher_after: torch.ones(len(plan.clean), 16, 16)})

    hidden = {objective.hidden[0]: draws(len(plan.clean), 16, 16)}
    prediction = Prediction((plan.velocity,), hidden=hidden)
    value = objective(step_of(NETWORK, plan, batch, prediction, averaged=averaged))
    return seen[0], value


def test_the_teacher_sees_the_same_sample_and_noise_a_little_earlier():
    objective = objective_of(delta=0.3)
    plan, batch = planned(NETWORK, count=64)
    (x_s, times_kN, condition, options), _ = asked(objective, plan, batch)
    earlier = plan.times - times_kN
    inside = times_kN > 0
    assert (earlier[inside] >= 0).all()
    assert (earlier[inside] < 0.3).all()
    assert inside.any()
    assert not inside.all()  # times near the data are clamped
    torch.testing.assert_close(earlier[0][inside.all(dim=0)], earlier[1][inside.all(dim=0)])
    assert earlier[0][inside[0]].unique().numel() > 40  # one u a sample
    assert torch.equal(x_s, plan.interpolant.x_t(plan.clean, plan.noise, times_kN[0]))
    assert condition is batch.condition
    assert options == {"last_only": True, "hidden": (objective.teacher_after,)}


def test_u_is_uniform_and_has_an_address_of_its_own():
    objective = objective_of(delta=1.0)
    plan, batch = planned(NETWORK, count=64)
    late = attrs.evolve(plan, times=torch.ones_like(plan.times))

    def u(plan):
        return 1 - asked(objective, plan, batch)[0][1][0]

    before = torch.get_rng_state()
    found = torch.cat([u(attrs.evolve(late, seed=seed)) for seed in range(40)])
    assert torch.equal(torch.get_rng_state(), before)
    assert (found.sort().values - torch.linspace(0, 1, len(found))).abs().max() < 0.03
    assert torch.equal(u(late), u(late))
    assert not torch.equal(u(late), u(attrs.evolve(late, seed=plan.seed + 1)))


def test_without_a_difference_in_time_and_depth_a_network_agrees_with_itself():
    objective = objective_of(delta=0.0, after=2, teacher_after=2)
    objective.projector = nn.Identity()
    plan, batch = planned(NETWORK)
    prediction = NETWORK(plan.x_t, plan.times, batch.condition, hidden=(2,))
    value = objective(step_of(NETWORK, plan, batch, prediction))
    torch.testing.assert_close(value.total, torch.full((5,), -1.0))


def test_it_is_minus_the_cosine_of_the_projected_tokens():
    objective = objective_of()
    plan, batch = planned(NETWORK, count=3)
    objective.projector = nn.Identity()
    _, value = asked(objective, plan, batch)
    tokens = draws(3, 16, 16)
    expected = -(tokens.sum(-1) / (tokens.norm(dim=-1) * 4)).mean(dim=1)
    torch.testing.assert_close(value.total, expected)


def test_gradients_reach_the_projector_and_the_students_blocks_alone():
    network = composed(depth=4)
    losses = Losses(network, {"self_alignment": objective_of(network, after=2, teacher_after=4)})
    losses(*planned(network))["loss"].backward()
    assert all(one.grad.any() for one in losses.objectives.parameters())
    moved = [any(one.grad is not None for one in block.parameters()) for block in network.backbone.blocks]
    assert moved == [True, True, False, False]


@pytest.mark.parametrize(("depth", "depths"), [(28, (8, 20)), (12, (3, 9)), (2, (1, 1)), (1, (1, 1))])
def test_depths_are_shares_of_the_networks(depth, depths):
    facts = attrs.evolve(FACTS, depth=depth, width=16, heads=2, grid=(4, 4))
    objective = built(facts, "self_alignment", channels=[8])
    assert (*objective.hidden, objective.teacher_after) == depths


def test_a_teacher_before_the_student_or_beyond_the_depth_is_refused():
    with pytest.raises(ConfigError, match="would align block 3 with the earlier block 2 of the averaged"):
        objective_of(after=3, teacher_after=2)
    with pytest.raises(ConfigError, match=r"self_alignment\.teacher_after is 9 and the network has 4 blocks"):
        objective_of(teacher_after=9)


@pytest.mark.parametrize("options", [{"delta": 1.5}, {"delta": -0.1}, {"channels": []}, {"weight": -1.0}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        component("objective", {"type": "self_alignment", **options})


# What a step offers.


def test_a_steps_generator_depends_on_plan_and_purpose_alone():
    plan, batch = planned(NETWORK)
    prediction = Prediction((plan.velocity,))

    def drawn(purpose, seed, number=0):
        step = step_of(NETWORK, attrs.evolve(plan, seed=seed), batch, prediction, number=number)
        return torch.rand(8, generator=step.generator(purpose))

    assert torch.equal(drawn("mine", 1), drawn("mine", 1, number=7))
    assert not torch.equal(drawn("mine", 1), drawn("other", 1))
    assert not torch.equal(drawn("mine", 1), drawn("mine", 2))


def test_its_seed_changes_neither_noise_nor_times_and_differs_between_micro_batches():
    config = tiny()
    parts = build_components(config)
    batches = parts.batches(config, 2)
    batch = batches.read(0, 0)
    seeds = {(step, shard): batches.plan(batch, step, shard).seed for step in range(3) for shard in range(2)}
    assert len(set(seeds.values())) == 6
    assert {at: batches.plan(batch, *at).seed for at in seeds} == seeds
    generator = torch.Generator().manual_seed(4)
    plan = draw_plan(parts.planner, batch, torch.Generator().manual_seed(4), parts.network.interpolant)
    noise = torch.randn(batch.clean.shape, generator=generator)
    assert torch.equal(plan.noise, noise)
    assert torch.equal(plan.times, parts.planner(batch, noise, generator, parts.network.interpolant).times)


TOP = {"objectives": {"velocity": {}, "acceleration": {}, "self_alignment": {"channels": [8]}}}


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path):
    parts = build_components(tiny(top=TOP))
    assert not has_unused(Losses(parts.network, parts.objectives), parts.planner, parts.dataset.train, 0)

    def train(steps, folder):
        config = tiny(top=TOP, steps=steps, validate_every=2)
        Trainer(config, tmp_path / folder, accelerator="cpu", quiet=True).train()
        return tensor_files(tmp_path / folder), lines(tmp_path / folder)

    train(2, "cut")
    cut, whole = train(6, "cut"), train(6, "whole")
    assert cut == whole
    assert all(-1 <= line["self_alignment"] <= 1 for line in whole[1])
