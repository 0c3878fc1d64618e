"""Planners: pairs of noise and data, pairs of times."""

import itertools
import sys

import attrs
import pytest
import torch

from thalweg.config import RunConfig, component, dump, structure
from thalweg.errors import ConfigError, PluginError
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.planners.flow_map import FlowMap
from thalweg.planners.optimal_transport import OptimalTransport, OptimalTransportConfig
from thalweg.planning import draw_plan
from thalweg.plugins import build_component
from thalweg.randomness import generator
from thalweg.types import Batch, Condition, Plan
from tiny_runs import TINY, TRAINING

FACTS = Facts(shape=(2, 4, 4), classes=3, branches=2)
LINEAR = Interpolant.named("linear")


def planner(kind, facts=FACTS, **options):
    return build_component(component("planner", {"type": kind, **options}), facts)


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def transport(facts=FACTS, **options):
    made = planner("optimal_transport", facts, **options)
    assert isinstance(made, OptimalTransport)
    return made


def cost(clean, noise):
    return float((clean - noise).double().square().sum())


def ring(count, seed=0):
    """Points around eight places on a circle, as (N, 2)."""
    angles = torch.arange(count) % 8 * (torch.pi / 4)
    return 3 * torch.stack([angles.cos(), angles.sin()], dim=1) + 0.1 * draws(count, 2, seed=seed)


# Optimal transport.


@pytest.mark.parametrize("seed", range(5))
def test_no_permutation_of_six_costs_less(seed):
    clean, noise = draws(6, 2, 4, 4, seed=seed), draws(6, 2, 4, 4, seed=100 + seed)
    found = cost(clean, noise[transport().pairs(clean, noise)])
    least = min(cost(clean, noise[list(order)]) for order in itertools.permutations(range(6)))
    assert found == pytest.approx(least, rel=1e-12)


@pytest.mark.parametrize("count", [1, 2, 64, 257])
def test_noise_is_only_permuted(count):
    clean, noise = draws(count, 3), draws(count, 3, seed=1)
    order = transport().pairs(clean, noise)
    assert sorted(order.tolist()) == list(range(count))
    assert cost(clean, noise[order]) <= cost(clean, noise)


def test_no_two_pairs_would_gain_by_swapping():
    """Cyclical monotonicity over two: what every optimal pairing has."""
    clean, noise = draws(64, 5), draws(64, 5, seed=1)
    gram = clean.double() @ noise[transport().pairs(clean, noise)].double().T
    own = gram.diag()
    assert (own[:, None] + own[None, :] - gram - gram.T).min() > -1e-9


def test_equal_samples_and_equal_noise_are_paired_all_the_same():
    same = torch.ones(9, 2)
    assert sorted(transport().pairs(same, draws(9, 2)).tolist()) == list(range(9))
    assert sorted(transport().pairs(draws(9, 2), same).tolist()) == list(range(9))


def test_pairs_stay_within_their_classes_and_are_the_best_there():
    labels = torch.tensor([0, 2, 2, 0, 2, 1, 2, 2, 0])  # three, one and five
    clean, noise = draws(9, 4), draws(9, 4, seed=2)
    order = transport().pairs(clean, noise, labels)
    assert torch.equal(labels[order], labels)
    for label in (0, 2):
        rows = (labels == label).nonzero().flatten().tolist()
        least = min(cost(clean[rows], noise[list(one)]) for one in itertools.permutations(rows))
        assert cost(clean[rows], noise[order[rows]]) == pytest.approx(least, rel=1e-12)
    assert cost(clean, noise[transport().pairs(clean, noise)]) < cost(clean, noise[order])


@pytest.mark.parametrize("respected", [True, False])
def test_the_planner_goes_by_labels_if_told_to_whether_they_are_hidden_or_not(respected):
    labels = torch.arange(30) % 3
    batch = Batch(draws(30, 2, 4, 4), Condition(labels))
    hidden = attrs.evolve(batch, condition=batch.condition.null())
    made = transport(respect_labels=respected)
    noise = draws(30, 2, 4, 4, seed=1)
    plan, unseen = (made(one, noise, generator(0, "plan"), LINEAR) for one in (batch, hidden))
    assert torch.equal(plan.noise, unseen.noise)
    rows = [noise.flatten(1).tolist().index(one) for one in plan.noise.flatten(1).tolist()]
    assert bool((labels[rows] == labels).all()) is respected


def test_the_inner_planner_draws_as_it_does_alone():
    batch = Batch(draws(8, 2, 4, 4), Condition())
    options = {"time_sampler": "uniform", "max_time_gap": 0.2}
    paired, alone = (
        draw_plan(made, batch, generator(0, "plan"), LINEAR)
        for made in (transport(inner=options), planner("branch_times", **options))
    )
    assert torch.equal(paired.times, alone.times)
    assert torch.equal(paired.clean, alone.clean)
    assert not torch.equal(paired.noise, alone.noise)
    assert torch.equal(paired.x_t, LINEAR.x_t(paired.clean, paired.noise, paired.times[0]))
    again = draw_plan(transport(inner=options), batch, generator(0, "plan"), LINEAR)
    assert torch.equal(again.x_t, paired.x_t)


def test_pairs_hold_no_graph():
    clean, noise = draws(8, 2).requires_grad_(), draws(8, 2, seed=1)
    assert not transport().pairs(clean, noise).requires_grad


def test_pairs_are_those_of_full_precision_under_autocast():
    clean, noise = draws(64, 32), draws(64, 32, seed=1)
    expected = transport().pairs(clean, noise)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(transport().pairs(clean, noise), expected)


def test_paths_cross_less_and_are_shorter():
    """In the plane: the pairing costs a fraction, and a velocity says more of where it leads."""
    clean, noise = ring(512), draws(512, 2, seed=1)
    paired = noise[transport().pairs(clean, noise)]
    assert cost(clean, paired) < 0.75 * cost(clean, noise)

    def spread(e):
        """Variance of e - x among the ten samples nearest in x_t at t = 1/2: 0 where paths are straight."""
        x_t = (clean + e) / 2
        nearest = torch.cdist(x_t, x_t).topk(10, largest=False).indices
        return float((e - clean)[nearest].var(dim=1).sum(dim=1).mean())

    assert spread(paired) < 0.2 * spread(noise)


def test_samples_that_are_not_finite_are_left_to_the_loss():
    clean = draws(4, 2)
    clean[1, 0] = float("nan")
    assert transport().pairs(clean, draws(4, 2, seed=1)).tolist() == [0, 1, 2, 3]


def test_captions_alone_are_no_classes():
    captioned = Facts(shape=(2, 4, 4), text=(5, 12))
    with pytest.raises(ConfigError, match=r"captions in place of classes; set plan\.respect_labels = false"):
        transport(captioned)
    transport(captioned, respect_labels=False)
    transport(Facts(shape=(2, 4, 4)))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ot", None)
    with pytest.raises(PluginError, match=r"needs the package POT: pip install 'thalweg-core\[transport\]'"):
        transport()


def test_pairing_twice_is_refused():
    with pytest.raises(ConfigError, match="state one 'optimal_transport'"):
        component("planner", {"type": "optimal_transport", "inner": "optimal_transport"})
    assert OptimalTransportConfig().inner == component("planner", "branch_times")


# Flow maps.


def test_times_of_a_flow_map_are_pairs_of_which_a_share_is_equal():
    made = planner("flow_map", time_sampler="uniform", equal=0.25)
    batch = Batch(torch.zeros(20_000, 1), Condition())
    t, r = draw_plan(made, batch, generator(0, "plan"), LINEAR).times
    assert (r <= t).all()
    assert float((r == t).float().mean()) == pytest.approx(0.25, abs=0.01)
    # The larger of two uniform times has the mean 2/3, the smaller one 1/3.
    assert float(t.mean()) == pytest.approx(2 / 3, abs=0.01)
    assert float(r[r < t].mean()) == pytest.approx(1 / 3, abs=0.01)


def test_both_times_are_logit_normal_by_default():
    made = planner("flow_map", equal=0.0)
    times = draw_plan(made, Batch(torch.zeros(40_000, 1), Condition()), generator(0, "plan"), LINEAR).times
    logits = times.double().logit().flatten()
    assert float(logits.mean()) == pytest.approx(-0.4, abs=0.02)
    assert float(logits.std()) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(("equal", "shared"), [(0.0, 0), (1.0, 500)])
def test_no_sample_or_every_one_has_equal_times(equal, shared):
    plan = draw_plan(
        planner("flow_map", equal=equal),
        Batch(draws(500, 2), Condition()),
        generator(0, "plan"),
        LINEAR,
    )
    assert int((plan.times[0] == plan.times[1]).sum()) == shared
    assert torch.equal(plan.x_t, LINEAR.x_t(plan.clean, plan.noise, plan.times[0]))


def test_another_share_changes_no_first_time():
    batch = Batch(draws(50, 2), Condition())
    first, other = (
        draw_plan(planner("flow_map", equal=equal), batch, generator(0, "plan"), LINEAR)
        for equal in (0.2, 0.8)
    )
    assert torch.equal(first.times[0], other.times[0])
    assert torch.equal(first.noise, other.noise)


@pytest.mark.parametrize("branches", [1, 3])
def test_a_flow_map_of_other_than_two_branches_is_refused(branches):
    with pytest.raises(ConfigError, match=f"the network has branches = {branches}; set branches = 2"):
        planner("flow_map", attrs.evolve(FACTS, branches=branches))


def test_options_of_a_default_with_options_keep_the_others():
    cls = type(component("planner", "flow_map"))
    assert cls().time_sampler == component("time_sampler", {"type": "logit_normal", "mean": -0.4})
    wide = component("planner", {"type": "flow_map", "time_sampler": {"std": 2.0}})
    assert (wide.time_sampler.mean, wide.time_sampler.std) == (-0.4, 2.0)
    plain = component("planner", {"type": "flow_map", "time_sampler": "logit_normal"})
    assert plain.time_sampler.mean == 0
    assert isinstance(build_component(wide, FACTS), FlowMap)


# In a recipe.


def test_a_recipe_names_its_planner_and_its_path():
    recipe = {
        **TINY,
        "training": TRAINING,
        "interpolant": "cosine",
        "plan": {
            "type": "optimal_transport",
            "inner": {"type": "flow_map", "time_sampler": {"type": "shifted", "shift": 3.0}},
        },
    }
    config = structure(RunConfig, recipe)
    assert config.plan.inner.time_sampler.shift == 3
    assert structure(RunConfig, dump(config)) == config
    assert dump(config)["interpolant"] == {"type": "cosine"}
    usual = structure(RunConfig, {**TINY, "training": TRAINING, "plan": {"max_time_gap": 0.5}})
    assert dump(usual)["plan"] == {
        "type": "branch_times",
        "time_sampler": {"type": "logit_normal", "mean": 0.0, "std": 1.0},
        "max_time_gap": 0.5,
    }


def test_noise_and_times_are_drawn_as_ever():
    """Noise, the first branch's times, the sign, the gaps, from one generator."""
    batch = Batch(draws(6, 2, 4, 4), Condition())
    made = planner("branch_times", attrs.evolve(FACTS, branches=3), max_time_gap=0.3)
    plan = draw_plan(made, batch, generator(4, "plan"), LINEAR)
    source = generator(4, "plan")
    assert torch.equal(plan.noise, torch.randn(6, 2, 4, 4, generator=source))
    odds = torch.randn(6, generator=source).exp()
    times = [odds / (1 + odds)]
    sign = 1 - 2 * torch.randint(2, (), generator=source)
    for _ in range(2):
        times.append((times[-1] + sign * 0.3 * torch.rand(6, generator=source)).clamp(0, 1))
    assert torch.equal(plan.times, torch.stack(times))
    assert torch.equal(plan.velocity, plan.noise - plan.clean)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"velocity": torch.ones(1, 2)}, r"plan whose velocity has shape \(1, 2\).* clean samples, \(4, 2\)"),
        ({"x_t": torch.ones(4, 1)}, r"plan whose x_t has shape \(4, 1\)"),
        ({"noise": torch.ones(2)}, r"plan whose noise has shape \(2,\)"),
        ({"times": torch.ones(4)}, r"times of shape \(4,\); give a time of each branch and sample"),
        ({"times": torch.ones(2, 1)}, r"times of shape \(2, 1\).*\(branches, 4\)"),
    ],
)
def test_a_plan_that_would_broadcast_is_refused(changes, said):
    path = Interpolant.named("linear")

    def planner(batch, noise, generator, interpolant):
        plan = Plan.at(batch.clean, noise, torch.rand(2, 4, generator=generator), interpolant)
        # As a stranger makes one, whose types nobody checks.
        for name, value in changes.items():
            object.__setattr__(plan, name, value)
        return plan

    batch = Batch(torch.ones(4, 2), Condition())
    with pytest.raises(PluginError, match=said):
        draw_plan(planner, batch, torch.Generator().manual_seed(0), path)


def test_a_planner_without_a_plan_is_told():
    with pytest.raises(PluginError, match=r"returns None; return a thalweg\.Plan"):
        draw_plan(
            lambda *_: None,
            Batch(torch.ones(4, 2), Condition()),
            torch.Generator(),
            Interpolant.named("linear"),
        )
