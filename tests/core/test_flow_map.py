"""The flow-map objective: its zeros, its derivatives, what a run makes of a network, and what is refused."""

import sys

import attrs
import pytest
import torch

import thalweg
from exact_flow_map import exact_network
from objective_steps import built, composed, step_of
from thalweg import Trainer
from thalweg.config import component
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.network import FlowNetwork
from thalweg.planners.branch_times import BranchTimes
from thalweg.planners.flow_map import FlowMap
from thalweg.planners.optimal_transport import OptimalTransport
from thalweg.planning import draw_plan
from thalweg.time_samplers.uniform import Uniform
from thalweg.training.components import build_components
from thalweg.training.objectives import StepNetwork
from thalweg.training.step import Losses, has_unused
from thalweg.types import Batch, Condition, Refinement, Step
from thalweg_authoring.gaussian import COSINE, LINEAR
from thalweg_authoring.numbers import captions, draws, randomised
from tiny_runs import lines, tiny

PATHS = pytest.mark.parametrize("path", [LINEAR, COSINE], ids=["linear", "cosine"])
PLAIN = {"adaptive": None}


def planned(network, clean, condition=None, seed=0, equal=0.3):
    batch = Batch(clean, condition or Condition())
    planner = FlowMap(Uniform(), equal)
    return draw_plan(planner, batch, torch.Generator().manual_seed(seed), network.interpolant), batch


def gaussian(network, count, seed=0):
    """A plan of Gaussian data, and the exact velocity where it asks."""
    data = network.backbone.data
    clean = data.mu + data.s * draws(count, *network.facts.shape, seed=seed + 10)
    plan, batch = planned(network, clean, seed=seed)
    return plan, batch, data.velocity(plan.x_t, plan.times[0])


def stepped(network, plan, batch, **options):
    prediction = network(plan.x_t, plan.times, batch.condition)
    return built(network.facts, "flow_map", **options)(step_of(network, plan, batch, prediction))


# On exact flows.


@PATHS
@pytest.mark.parametrize(("derivative", "least"), [("exact", 1e-10), ("difference", 1e-5)])
def test_an_exact_flow_map_is_a_zero(path, derivative, least):
    """u + (t - r) du/dt = v at every x, r and t, those with r = t among them."""
    network = exact_network(interpolant=path)
    plan, batch, velocity = gaussian(network, 64)
    assert 0 < int((plan.times[0] == plan.times[1]).sum()) < 64
    value = stepped(network, attrs.evolve(plan, velocity=velocity), batch, derivative=derivative, **PLAIN)
    assert float(value.total.detach().max()) < least
    # That of a flow map that is none is not zero.
    with torch.no_grad():
        network.velocity_readout.gain.fill_(1.2)
    wrong = stepped(network, attrs.evolve(plan, velocity=velocity), batch, derivative=derivative, **PLAIN)
    assert float(wrong.total.detach().mean()) > 1e-2


@pytest.mark.parametrize("options", [PLAIN, {}], ids=["plain", "adaptive"])
def test_its_gradient_vanishes_there_though_every_sample_has_an_error(options):
    """V scatters around v, and the gradient by any weight is zero on average."""
    found = {}
    for gain in (1.0, 1.15):
        network = exact_network(size=16)
        plan, batch, _ = gaussian(network, 6000)
        with torch.no_grad():
            network.velocity_readout.gain.fill_(gain)
            network.intermediate_velocity.gain.fill_(gain)
        value = stepped(network, plan, batch, **options)
        value.total.mean().backward()
        found[gain] = [network.velocity_readout.gain.grad, network.intermediate_velocity.gain.grad]
        assert float(value.parts["average"]) > 0.1
    for zero, other in zip(*found.values(), strict=True):
        assert abs(float(zero)) < 0.12 * float(other)


def test_errors_are_divided_by_themselves_and_logged_as_they_are():
    network = exact_network()
    with torch.no_grad():
        network.velocity_readout.gain.fill_(1.3)
    plan, batch, _ = gaussian(network, 8)
    plain, divided = (stepped(network, plan, batch, adaptive=one) for one in (None, 0.5))
    assert plain.parts == divided.parts
    assert set(plain.parts) == {"velocity", "average"}
    # e_v / (e_v + c) + e_u / (e_u + c).
    assert (divided.total < 2).all()
    assert (divided.total > 0).all()
    torch.testing.assert_close(plain.total.detach().mean(), sum(plain.parts.values()))
    gradients = []
    for value in (plain, divided):
        network.zero_grad()
        value.total[0].backward(retain_graph=True)
        gradients.append((network.velocity_readout.gain.grad, network.intermediate_velocity.gain.grad))
    single = stepped(network, *planned_row(plan, batch, 0), **PLAIN).parts
    for index, name in enumerate(("average", "velocity")):
        torch.testing.assert_close(gradients[1][index], gradients[0][index] / (single[name] + 0.5))


def planned_row(plan, batch, row):
    """The plan of one of its samples."""
    at = slice(row, row + 1)
    one = {name: getattr(plan, name)[at] for name in ("clean", "noise", "x_t", "velocity")}
    return attrs.evolve(plan, times=plan.times[:, at], **one), Batch(batch.clean[at], Condition())


def test_the_tangent_is_the_networks_own_velocity_and_gives_no_gradient():
    """Another target V changes errors alone: V^ depends on the networks' own v."""
    network = exact_network()
    plan, batch, _ = gaussian(network, 8)
    objective = built(network.facts, "flow_map")
    step = step_of(network, plan, batch, network(plan.x_t, plan.times))
    own = step.prediction.velocities[0].detach()
    found, other = objective.slope(step, own), objective.slope(step, plan.velocity)
    assert not found.requires_grad
    assert not torch.allclose(found, other, atol=1e-3)
    reached = step.prediction.velocities[1] + (plan.times[0] - plan.times[1])[:, None] * found
    torch.testing.assert_close(reached.detach(), own, atol=1e-4, rtol=1e-4)


# Derivatives.

BACKBONES = {
    "dit": {"width": 16, "heads": 2, "depth": 2, "patch": 4},
    "lightningdit": {"width": 16, "heads": 2, "depth": 2, "patch": 4, "conditioning": "both"},
    "mmdit": {"width": 16, "heads": 2, "depth": 2, "patch": 4, "qk_norm": True},
    "mlp": {"width": 16, "depth": 2},
}
REFINERS = {"plain": {}, "film": {}, "gated": {}, "vera": {"channels": [8]}}


def both_derivatives(network, condition, **options):
    plan, batch = planned(network, draws(3, *network.facts.shape), condition, equal=0.0)
    step = step_of(network, plan, batch, network(plan.x_t, plan.times, condition))
    velocity = step.prediction.velocities[0].detach()
    return [
        built(network.facts, "flow_map", derivative=one, **options).slope(step, velocity)
        for one in ("exact", "difference")
    ]


@pytest.mark.parametrize("refiner", REFINERS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_both_derivatives_agree_of_every_backbone_and_refiner(backbone, refiner):
    text = (5, 12) if backbone == "mmdit" else None
    facts = Facts(shape=(2, 8, 8), classes=None if text else 4, text=text)
    network = randomised(
        thalweg.compose(
            backbone={"type": backbone, **BACKBONES[backbone]},
            refiner={"type": refiner, **REFINERS[refiner]},
            branches=2,
            facts=facts,
        ),
        std=0.2,
    )
    condition = Condition(text=captions(3)) if text else Condition(torch.tensor([0, 3, 1]))
    exact, difference = both_derivatives(network, condition)
    assert float(exact.norm()) > 1e-2
    assert float((exact - difference).norm()) < 0.01 * float(exact.norm())


def test_a_smaller_step_is_nearer_until_rounding():
    network = exact_network()
    exact, wide = both_derivatives(network, Condition(), step=0.1)
    _, narrow = both_derivatives(network, Condition(), step=0.01)
    errors = [float((one - exact).norm()) for one in (wide, narrow)]
    assert errors[1] < 0.2 * errors[0]


def test_differences_are_of_float32_in_mixed_precision_too():
    network = composed(branches=2)
    condition = Condition(torch.tensor([0, 3, 1]))
    plan, batch = planned(network, draws(3, *network.facts.shape), condition)
    prediction = network(plan.x_t, plan.times, condition)
    objective = built(network.facts, "flow_map", derivative="difference")
    velocity = prediction.velocities[0].detach()
    again = StepNetwork(network, lambda: torch.autocast("cpu", torch.bfloat16))
    mixed = Step(plan, prediction, batch, again, again.frozen)
    found = objective.slope(mixed, velocity)
    torch.testing.assert_close(found, objective.slope(step_of(network, plan, batch, prediction), velocity))


class _Opaque(torch.autograd.Function):
    """What torch cannot differentiate forwards."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


class OpaqueRefiner(torch.nn.Module):
    readouts = ()

    def forward(self, stream, boundary):
        return Refinement(_Opaque.apply(stream.tokens) + 0 * boundary.time[:, None, None])


def test_what_has_no_forward_derivative_is_refused_and_has_differences():
    facts = Facts(shape=(2,))
    network = randomised(
        thalweg.compose(
            backbone={"type": "mlp", "width": 8, "depth": 2}, refiner=OpaqueRefiner(), branches=2, facts=facts
        ),
        std=0.3,
    )
    plan, batch = planned(network, draws(4, 2))
    with pytest.raises(ConfigError, match=r'no forward-mode derivative .*derivative = "difference"'):
        stepped(network, plan, batch)
    assert stepped(network, plan, batch, derivative="difference").total.isfinite().all()


# Training.

TINY = {
    "plan": "flow_map",
    "refiner": {"type": "film", "acceleration": False},
    "objectives": {"flow_map": {"cfg_scale": 1.5}},
    "sampling": {"sampler": {"type": "flow_map", "steps": 1}, "count": 4},
}


def test_a_run_knows_that_its_network_is_a_flow_map_until_it_is_trained_otherwise(tmp_path):
    parts = build_components(tiny(top=TINY))
    losses = Losses(parts.network, parts.objectives, steps=6)
    assert not has_unused(losses, parts.planner, parts.dataset.train, 0, 6)
    Trainer(tiny(top=TINY, sample_every=6), tmp_path / "run", accelerator="cpu", quiet=True).train()
    (numbers, *_) = lines(tmp_path / "run")
    assert {"flow_map", "flow_map/velocity", "flow_map/average"} <= numbers.keys()
    network = thalweg.load(tmp_path / "run")
    assert network.facts.flow_map
    drawn = thalweg.sample(network, labels=[1, 2], indices=range(2))
    assert drawn.nfe == 1.0
    changed = tiny(top={"refiner": TINY["refiner"], "objectives": {"velocity": {}}})
    # Of a frozen network the last branch stays what it is.
    network.requires_grad_(False)
    network.intermediate_velocity.requires_grad_(True)
    assert build_components(changed, network=network).network.facts.flow_map
    network.requires_grad_(True)
    assert not build_components(changed, network=network).network.facts.flow_map


def test_weights_that_are_off_are_led_back_to_the_flow_map():
    network, steps = exact_network(size=8), 25
    gains = [network.intermediate_velocity.gain, network.velocity_readout.gain]
    with torch.no_grad():
        gains[0].fill_(0.8)
        gains[1].fill_(1.3)
    losses = Losses(network, {"flow_map": built(network.facts, "flow_map")}, steps=steps)
    optimizer = torch.optim.SGD(gains, lr=0.1)
    for step in range(steps):
        plan, batch, _ = gaussian(network, 500, seed=step)
        optimizer.zero_grad()
        losses(plan, batch, step)["loss"].backward()
        optimizer.step()
    assert [float(one.detach()) for one in gains] == pytest.approx([1.0, 1.0], abs=0.05)


# What is refused.


@pytest.mark.parametrize(
    ("network", "options", "said"),
    [
        ({"branches": 1}, {}, r"of two branches, and the network has 1; set branches = 2 and a refiner"),
        ({"depth": 3, "branches": 3}, {}, "the network has 3; set branches = 2"),
        ({"branches": 2, "heads": [3]}, {}, "there is one after 3 of 4 blocks; keep heads before block 2"),
        (
            {"branches": 2},
            {"internal_scale": 1.5},
            "after 2 blocks, and there is none; add one",
        ),
        (
            {"branches": 2, "heads": [1]},
            {"internal_scale": 1.5, "internal_after": 2},
            r"internal_after is 2 and there are heads after 1; name one",
        ),
        (
            {"branches": 2, "facts": Facts(shape=(2, 8, 8))},
            {"cfg_scale": 2.0},
            "cfg_scale needs a condition that can be left out",
        ),
    ],
)
def test_networks_that_do_not_serve_are_refused(network, options, said):
    with pytest.raises(ConfigError, match=said):
        built(composed(**network).facts, "flow_map", **options)


def test_guidance_away_from_what_is_never_learnt_is_refused():
    facts = attrs.evolve(composed(branches=2).facts, condition_dropout=False)
    with pytest.raises(ConfigError, match=r"set training\.condition_dropout above 0"):
        built(facts, "flow_map", cfg_scale=2.0)
    with pytest.raises(ConfigError, match=r"training\.condition_dropout"):
        build_components(tiny(top=TINY, condition_dropout=0.0))


def test_a_backbone_that_predicts_noise_has_no_two_branches():
    backbone = {"type": "dit", "width": 16, "depth": 2, "heads": 2, "betas": [1e-4, 0.02]}
    with pytest.raises(ConfigError, match="predicts noise has one branch"):
        thalweg.compose(backbone=backbone, refiner="plain", branches=2, facts=Facts(shape=(2, 8, 8)))


@pytest.mark.parametrize(
    "options",
    [
        {"cfg_scale": 0.5},
        {"internal_scale": float("inf")},
        {"cfg_interval": (0.7, 0.2)},
        {"internal_interval": (0.2,)},
        {"adaptive": 0.0},
        {"step": 0.0},
        {"step": 0.6},
        {"derivative": "symbolic"},
        {"heads": -1.0},
        {"weight": -1.0},
        {"internal_after": 0},
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        component("objective", {"type": "flow_map", **options})


def test_a_planner_without_ordered_times_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "ot", object())
    with pytest.raises(ConfigError, match=r'averages over \[r, t\], and BranchTimes .* plan = "flow_map"'):
        build_components(tiny(top={**TINY, "plan": "branch_times"}))
    assert OptimalTransport(FlowMap(Uniform(), 0.5)).ordered
    assert not OptimalTransport(BranchTimes(Uniform(), 2, 0.01)).ordered


def test_guidance_around_a_flow_map_is_refused_before_training():
    sampling = {**TINY["sampling"], "guidance": {"type": "cfg", "scale": 1.5}}
    with pytest.raises(ConfigError, match=r"ClassifierFree .* knows no average of it; set guidance to none"):
        build_components(tiny(top={**TINY, "sampling": sampling}))
    other = {**TINY, "objectives": {"velocity": {}}}
    with pytest.raises(ConfigError, match="this network is no flow map"):
        build_components(tiny(top=other))


def test_an_average_needs_two_branches():
    network = composed()
    assert isinstance(network, FlowNetwork)
    t = torch.tensor([0.5])
    with pytest.raises(ConfigError, match="at the second of two branches and the network has 1"):
        network.average(draws(1, 2, 8, 8), t, t, Condition())
