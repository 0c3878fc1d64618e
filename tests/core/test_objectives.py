import attrs
import pytest
import torch

import thalweg
from thalweg.config import component
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.planning import draw_plan
from thalweg.randomness import generator
from thalweg.training.objectives import StepNetwork
from thalweg.types import Batch, Condition, Prediction, Step

FACTS = Facts(shape=(2, 4, 4), classes=3, branches=3, readouts=("acceleration",))


def planned(count=5, branches=3, gap=0.1, name="linear"):
    planner = branch_times(branches, gap)
    clean = torch.randn(count, 2, 4, 4, generator=generator(0, "clean"))
    return draw_plan(planner, Batch(clean, Condition()), generator(0, "plan"), Interpolant.named(name))


def branch_times(branches, gap):
    options = {"type": "branch_times", "time_sampler": "uniform", "max_time_gap": gap}
    return component("planner", options).build(attrs.evolve(FACTS, branches=branches))


def objective(kind, **options):
    return component("objective", {"type": kind, **options}).build(FACTS)


NETWORK = thalweg.compose(
    backbone={"type": "dit", "width": 8, "heads": 2, "depth": 1}, facts=Facts(shape=(2, 4, 4), classes=3)
)


def stepped(plan, prediction):
    again = StepNetwork(NETWORK)
    return Step(plan, prediction, Batch(plan.clean, Condition()), again, again.frozen)


def test_exact_velocities_cost_nothing():
    plan = planned()
    value = objective("velocity")(stepped(plan, Prediction((plan.velocity,) * 3)))
    assert not value.total.any()


def test_branches_are_weighted_by_beta_and_the_last_by_one():
    plan = planned()
    off = Prediction((plan.velocity + 1, plan.velocity + 2, plan.velocity + 3))
    value = objective("velocity", beta=0.5)(stepped(plan, off))
    assert torch.allclose(value.total, torch.full((5,), 0.5 * 1 + 0.5 * 4 + 9))
    assert {name: round(float(part)) for name, part in value.parts.items()} == {
        "branch_1": 1,
        "branch_2": 4,
        "branch_3": 9,
    }


def test_the_minimiser_of_the_acceleration_is_the_residual_of_the_velocity():
    """a* = 2 (x_0 - x_t + t v) / t^2 where x_0 is known; zero where v is exact."""
    drawn = planned()
    times_kN = torch.linspace(0.2, 0.9, 15).view(3, 5)
    x_t = drawn.interpolant.x_t(drawn.clean, drawn.noise, times_kN[0])
    plan = attrs.evolve(drawn, times=times_kN, x_t=x_t)
    velocities = (plan.velocity + 0.3, plan.velocity, plan.velocity)
    t = plan.times[:2].view(2, -1, 1, 1, 1)
    x_t = torch.stack([plan.x_at(0), plan.x_at(1)])
    best = 2 * (plan.clean - x_t + t * torch.stack(velocities[:2])) / t**2
    value = objective("acceleration")(stepped(plan, Prediction(velocities, {"acceleration": tuple(best)})))
    assert value.total.max() < 1e-8
    assert best[1].abs().max() < 1e-3
    worse = objective("acceleration")(
        stepped(plan, Prediction(velocities, {"acceleration": tuple(best + 0.1)}))
    )
    assert (worse.total > value.total).all()


def test_acceleration_sends_no_gradient_into_the_velocity():
    plan = planned()
    velocity = plan.velocity.clone().requires_grad_()
    acceleration = torch.zeros_like(velocity, requires_grad=True)
    prediction = Prediction((velocity, velocity, velocity), {"acceleration": (acceleration, acceleration)})
    objective("acceleration")(stepped(plan, prediction)).total.sum().backward()
    assert velocity.grad is None
    assert acceleration.grad.any()


def test_acceleration_without_branches_or_without_a_refiner_that_makes_it_is_refused():
    with pytest.raises(thalweg.ConfigError, match="needs intermediate branches"):
        component("objective", "acceleration").build(attrs.evolve(FACTS, branches=1))
    with pytest.raises(thalweg.ConfigError, match="needs a refiner with a read-out 'acceleration'"):
        component("objective", "acceleration").build(attrs.evolve(FACTS, readouts=()))


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_a_plan_lies_on_the_path(name):
    plan = planned(name=name)
    path = Interpolant.named(name)
    assert torch.equal(plan.x_t, path.x_t(plan.clean, plan.noise, plan.times[0]))
    assert torch.equal(plan.x_at(2), path.x_t(plan.clean, plan.noise, plan.times[2]))
    if name == "linear":
        assert torch.equal(plan.velocity, plan.noise - plan.clean)


def test_times_of_neighbours_differ_by_at_most_the_gap_in_one_direction_a_batch():
    planner = branch_times(4, 0.05)
    signs = set()
    for step in range(20):
        times_kN = planner.times(64, generator(0, "times", step), Interpolant.named("linear"))
        gaps = times_kN.diff(dim=0)
        assert gaps.abs().max() <= 0.05
        assert times_kN.min() >= 0
        assert times_kN.max() <= 1
        assert (gaps >= 0).all() or (gaps <= 0).all()
        assert gaps.unique().numel() > 60
        signs.add(bool(gaps.sum() > 0))
    assert signs == {True, False}


def test_no_gap_means_one_time():
    times_kN = planned(gap=0.0).times
    assert torch.equal(times_kN[0], times_kN[2])


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_logit_normal_times_have_a_normal_log_ratio_on_every_path(name):
    path = Interpolant.named(name)
    sampler = component("time_sampler", {"type": "logit_normal", "mean": 0.5, "std": 2.0}).build(FACTS)
    t = sampler(50_000, generator(0, "t"), path).double()
    log_ratio = (path.schedule.sigma(t) / path.schedule.alpha(t)).log()
    assert log_ratio.mean() == pytest.approx(0.5, abs=0.05)
    assert log_ratio.std() == pytest.approx(2.0, abs=0.05)


def test_uniform_times_are_uniform():
    sampler = component("time_sampler", "uniform").build(FACTS)
    t = sampler(50_000, generator(0, "t"), Interpolant.named("linear")).sort().values
    assert (t - torch.linspace(0, 1, 50_000)).abs().max() < 0.01
