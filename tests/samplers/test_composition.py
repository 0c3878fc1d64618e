"""Guidances around one another: the formulas by hand, what each asks for, and what passes through."""

from fractions import Fraction

import pytest
import torch

import thalweg
from samplers.mixture import Mixture
from thalweg import files
from thalweg.errors import ConfigError, PluginError
from thalweg.facts import Facts
from thalweg.guidance import ConditionedField, breaks_of, composed
from thalweg.interpolant import Interpolant
from thalweg.interpolants.linear import Linear
from thalweg.network_field import NetworkField
from thalweg.saved_network import save
from thalweg.types import Condition, Head, Query
from thalweg_authoring.numbers import randomised
from thalweg_samplers import Autoguidance, ClassifierFree, Dopri5, Euler, Heun, Internal
from thalweg_samplers.autoguidance import AutoguidanceConfig

FACTS = Facts(shape=(1, 4, 4), classes=3)
CPU = torch.device("cpu")
LABELS = torch.tensor([2, 0, 1])


def network(branches=2, seed=0, depth=4, **facts):
    backbone = {"type": "dit", "width": 16, "heads": 2, "depth": depth, "patch": 2}
    refiner = None if branches == 1 else {"type": "vera", "channels": [16]}
    known = Facts(**{"shape": FACTS.shape, "classes": FACTS.classes, **facts})
    made = thalweg.compose(backbone=backbone, refiner=refiner, branches=branches, facts=known, seed=seed)
    return randomised(made, 0.1 + 0.05 * seed)


MAIN = network()


def near(found, expected, tolerance=2e-5):
    """Networks compute in float32, and one batch rounds otherwise than two."""
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def query(*times, labels=LABELS):
    t = torch.tensor(times or (0.9, 0.5, 0.1), dtype=torch.float64)
    x = torch.randn(len(t), *FACTS.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return Query(x, t, Condition(labels))


def innermost(main=MAIN):
    return NetworkField(main, CPU, False)


@torch.no_grad()
def velocity(asked, *guidances, main=MAIN):
    return composed(innermost(main), guidances)(asked)


@torch.no_grad()
def heads(asked, *wanted, main=MAIN):
    found = main.heads(asked.x.float(), asked.t, asked.condition, wanted)
    return [one.double() for one in found]


def test_internal_guidance_leads_away_from_the_intermediate_head():
    asked = query()
    weak, last = heads(asked, 2, -1)
    near(velocity(asked, Internal(scale=1.7)), weak + 1.7 * (last - weak))
    refined, last = heads(asked, Head(2, "refined"), -1)
    found = velocity(asked, Internal(scale=1.7, form="refined"))
    near(found, refined + 1.7 * (last - refined))
    assert not torch.allclose(refined, weak)
    near(velocity(asked, Internal(scale=0.0)), weak)


def test_internal_guidance_acts_within_its_interval():
    asked = query(0.9, 0.3, 0.1)
    weak, last = heads(asked, 2, -1)
    expected = weak + 2 * (last - weak)
    expected[2] = last[2]
    near(velocity(asked, Internal(scale=2.0, interval=(0.3, 1.0))), expected)


def test_classifier_free_guidance_around_internal_guidance_guides_both_halves():
    asked = query(0.9, 0.7, 0.1)
    halves = []
    for half in (asked, asked.null()):
        weak, last = heads(half, 2, -1)
        halves.append(weak + 1.4 * (last - weak))
    shown, hidden = halves
    expected = hidden + 1.35 * (shown - hidden)
    expected[0] = shown[0]
    found = velocity(asked, Internal(scale=1.4), ClassifierFree(scale=1.35, interval=(0.0, 0.7)))
    near(found, expected)


def test_a_recipes_list_is_the_composition():
    drawn = [
        thalweg.sample(
            MAIN,
            labels=[0, 1, 2],
            indices=range(3),
            sampler={"type": "euler", "steps": 4},
            guidance=guidance,
            precision="32-true",
        )
        for guidance in (
            ["internal", {"type": "cfg", "scale": 1.35, "interval": [0, 0.7]}],
            [Internal(), ClassifierFree(scale=1.35, interval=(0.0, 0.7))],
            (Internal().__call__, ClassifierFree(scale=1.35, interval=(0.0, 0.7))),
        )
    ]
    assert all(torch.equal(one.x, drawn[0].x) for one in drawn)
    # Times 1, 0.75, 0.5, 0.25: the last two are guided by the class.
    assert [one.nfe for one in drawn] == [6.0] * 3


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_autoguidance_by_the_network_itself_is_the_network(scale):
    asked = query()
    near(velocity(asked, Autoguidance(MAIN, scale)), velocity(asked))


def test_autoguidance_of_scale_one_is_the_main_network_and_asks_no_other():
    asked, field = query(), innermost()
    guided = composed(field, [Autoguidance(network(seed=1), 1.0)])
    assert torch.equal(guided(asked), velocity(asked))
    assert field.tally.total_nfe == 3


def test_autoguidance_leads_away_from_another_network_in_any_order():
    asked, weak = query(0.9, 0.5, 0.1), network(1, seed=1, depth=2)
    main, weaker = velocity(asked), velocity(asked, main=weak)
    guided = velocity(asked, Autoguidance(weak, 2.5, (0.0, 0.7)))
    expected = weaker + 2.5 * (main - weaker)
    expected[0] = main[0]
    near(guided, expected)
    assert not torch.allclose(main, weaker)

    cfg, auto = ClassifierFree(scale=3.0), Autoguidance(weak, 2.0)
    inside = [velocity(half, auto) for half in (asked, asked.null())]
    near(velocity(asked, auto, cfg), inside[1] + 3 * (inside[0] - inside[1]))
    near(velocity(asked, cfg, auto), weaker + 2 * (velocity(asked, cfg) - weaker))
    internal = velocity(asked, Internal(1.5))
    near(velocity(asked, Internal(1.5), auto), weaker + 2 * (internal - weaker))


def test_both_networks_are_counted_and_evaluated_alike():
    seen = []

    class Weak:
        facts = FACTS

        def velocity(self, x, t, condition):
            seen.append((x.dtype, t.dtype, torch.is_autocast_enabled("cpu")))
            return torch.zeros_like(x)

    for precision in ("32-true", "bf16-mixed"):
        drawn = thalweg.sample(
            MAIN,
            labels=[0, 1],
            indices=range(2),
            sampler={"type": "euler", "steps": 5},
            guidance=Autoguidance(Weak(), interval=(0.0, 0.6)),
            precision=precision,
        )
        # Times 1, 0.8, 0.6, 0.4, 0.2: three of five within.
        assert drawn.nfe == 8.0
    assert set(seen) == {(torch.float32, torch.float64, mixed) for mixed in (False, True)}


def test_a_weak_network_in_training_mode_is_evaluated_and_left_as_it_was():
    weak = network(1, seed=1)
    weak.train()
    modes = []
    weak.register_forward_hook(lambda module, *_: modes.append(module.training))
    thalweg.sample(MAIN, labels=[0], indices=[0], sampler=Euler(2), guidance=Autoguidance(weak))
    assert modes == [False, False]
    assert weak.training


def half_guidance(field):
    """The weak half, without a class, stops at the first head: one pass and a half (a stranger's)."""

    def guided(query):
        (weak,) = field.heads(query.null(), field.facts.weak_heads or (1,))
        return weak + 1.5 * (field(query) - weak)

    return guided


@pytest.mark.parametrize(
    ("branches", "share"), [(2, 0.5), ([1, 4], 0.25), ([3, 4], 0.75), ([1, 3], Fraction(1, 3))]
)
def test_a_pass_that_stops_counts_its_share_of_blocks(branches, share):
    main = network(branches, depth=3 if branches == [1, 3] else 4)
    drawn = thalweg.sample(
        main, labels=[0, 1, 2], indices=range(3), sampler=Euler(steps=7), guidance=half_guidance
    )
    assert drawn.nfe == float(7 * (1 + share))
    assert drawn.total_nfe == 21 * (1 + share)
    drawn = thalweg.sample(main, labels=[0], indices=[5], sampler=Euler(steps=7), guidance="internal")
    assert drawn.nfe == 7.0


def test_jumps_pass_through_a_guidance_that_knows_nothing_of_them():
    seen = []

    def stranger(field):
        def guided(query):
            seen.append(query.decides.tolist())
            return 1.5 * field(query)

        return guided

    guidances = [Internal(interval=(0.3, 0.8)), ClassifierFree(interval=(0.0, 0.7)), stranger]
    field = composed(innermost(), guidances)
    assert breaks_of(field) == (0.3, 0.8, 0.0, 0.7)
    conditioned = ConditionedField(field, Condition(LABELS))
    assert conditioned.breaks == (0.3, 0.8, 0.0, 0.7)
    x = query().x
    with torch.no_grad():
        Heun(steps=2)(conditioned, x)
    # Both stages of the step from 1 to 0.5 are on the side of 1.
    assert seen == [[1.0] * 3, [1.0] * 3, [0.5] * 3]
    seen.clear()
    with torch.no_grad():
        Dopri5(rtol=1e-2, atol=1e-2)(conditioned, x)
    assert seen
    assert all(time not in (0.3, 0.7, 0.8) for times in seen for time in times)


def test_an_adaptive_sampler_meets_no_jump_within_a_step():
    """Velocity 1 outside and 3 inside an interval: exact to rounding if every step is on one side."""

    def field(query):
        return torch.ones_like(query.x)

    guided = thalweg.within(field, lambda query: 3 * field(query), (0.25, 0.6))
    calls = []

    def counted(query):
        calls.append(len(query.x))
        return guided(query)

    conditioned = ConditionedField(composed(field, [lambda _: guided, lambda _: counted]), Condition())
    x_0 = Dopri5()(conditioned, torch.zeros(4, 2, dtype=torch.float64))
    near(x_0, torch.full((4, 2), -1.7, dtype=torch.float64), 1e-12)
    assert sum(calls) < 4 * 60


def test_a_mixture_is_guided_within_an_interval_by_samples_of_their_own_times():
    data = Mixture.of((2,))
    inside, outside = [], []

    def field(query):
        outside.append(len(query.x))
        return data.velocity(query.x, query.t)

    def doubled(query):
        inside.append(len(query.x))
        return 2 * data.velocity(query.x, query.t)

    asked = Query(
        torch.randn(5, 2, dtype=torch.float64),
        torch.tensor([0.9, 0.7, 0.2, 0.1, 0.5], dtype=torch.float64),
        Condition(),
    )
    found = thalweg.within(field, doubled, (0.2, 0.7))(asked)
    factor = torch.tensor([1, 2, 2, 1, 2]).view(-1, 1)
    near(found, factor * data.velocity(asked.x, asked.t))
    assert (inside, outside) == ([3], [2])


@pytest.mark.parametrize(
    ("guidances", "error", "message"),
    [
        (
            [ClassifierFree(), Internal()],
            ConfigError,
            "reads the network's own heads, so it must stand",
        ),
        ([Internal(after=1)], ConfigError, "has intermediate ones after 2; take one of these"),
        ([lambda field: None], PluginError, "gives no field; return a function of the query"),
        (
            [lambda field: lambda query: field(query)[:1]],
            PluginError,
            r"gives a velocity of \(1, 1, 4, 4\) for x of \(3, 1, 4, 4\); keep the shape",
        ),
        (
            [Autoguidance(network(classes=4))],
            ConfigError,
            "network's classes is 4 and the main one's is 3",
        ),
        (
            [Autoguidance(network(shape=(1, 8, 8)))],
            ConfigError,
            r"second network's shape is \(1, 8, 8\) and the main one's is \(1, 4, 4\)",
        ),
    ],
)
def test_what_does_not_go_together_is_said(guidances, error, message):
    with pytest.raises(error, match=message):
        velocity(query(), *guidances)


def test_a_network_without_branches_or_heads_has_nothing_to_guide_by():
    with pytest.raises(ConfigError, match="this network has none; remove the guidance"):
        thalweg.sample(network(1), labels=[0], indices=[0], guidance=Internal())
    with pytest.raises(ConfigError, match="this network has none; remove the guidance"):
        thalweg.sample(network(1), labels=[0], indices=[0], guidance="internal")
    with pytest.raises(ConfigError, match="needs a FlowNetwork, and FunctionNetwork offers none"):
        thalweg.sample(lambda x, t: x, shape=FACTS.shape, indices=[0], guidance=half_guidance)


@pytest.fixture
def weak(tmp_path):
    made = network(1, seed=1)
    save(tmp_path / "weak", made)
    return tmp_path / "weak"


def test_a_saved_network_guides_like_the_one_in_memory_and_is_told_by_its_hash(weak):
    asked = query()
    opened = AutoguidanceConfig(network=str(weak), scale=3.0).build(FACTS)
    assert torch.equal(velocity(asked, opened), velocity(asked, Autoguidance(network(1, seed=1), 3.0)))
    sha256 = files.sha256(weak / "model.safetensors")
    assert opened.identity == {"weak": {"sha256": sha256, "step": None}}
    assert Autoguidance(network(1, seed=1)).identity == opened.identity
    assert Autoguidance(network(1, seed=1)).identity == Autoguidance(network(1, seed=1)).identity
    assert Autoguidance(network(1, seed=2)).identity != Autoguidance(network(1, seed=1)).identity


def test_a_weak_network_of_other_data_or_none_is_refused_when_it_is_built(weak, tmp_path):
    with pytest.raises(ConfigError, match="both must have been trained on the same data"):
        AutoguidanceConfig(network=str(weak)).build(Facts(shape=(3, 4, 4), classes=3))
    with pytest.raises(thalweg.DataError, match="holds no network to guide by"):
        AutoguidanceConfig(network=str(tmp_path)).build(FACTS)


def test_a_weak_network_on_another_path_is_refused_whatever_the_path_is_called():
    other = network(1)
    other.interpolant = Interpolant.named("cosine")
    with pytest.raises(ConfigError, match="interpolant is cosine and the main one's is linear; velocities"):
        velocity(query(), Autoguidance(other))

    class Straight(Linear):
        """The same path by another name."""

    other.interpolant = Interpolant(Straight())
    velocity(query(), Autoguidance(other))


def test_a_weak_network_in_memory_is_told_by_what_it_is_when_it_is_asked_for():
    other = network(1)
    guidance = Autoguidance(other)
    before = guidance.identity
    with torch.no_grad():
        next(other.parameters()).add_(1)
    assert guidance.identity != before
    assert guidance.identity == Autoguidance(other).identity
