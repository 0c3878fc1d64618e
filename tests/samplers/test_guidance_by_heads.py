"""Guidance by intermediate heads and by skipped blocks: the formulas by hand, scales of all forms, costs."""

from fractions import Fraction

import pytest
import torch

import thalweg
from thalweg.calibration import Calibration
from thalweg.config import structure
from thalweg.errors import ConfigError, ThalwegError
from thalweg.facts import Facts
from thalweg.guidance import composed
from thalweg.network_field import NetworkField
from thalweg.types import Condition, Head, Query
from thalweg_authoring.numbers import randomised
from thalweg_samplers import ClassifierFree, Euler, Half, Internal, Ladder, PathDrop
from thalweg_samplers.internal import InternalConfig
from thalweg_samplers.path_drop import PathDropConfig

FACTS = Facts(shape=(1, 4, 4), classes=3)
BACKBONE = {"type": "dit", "width": 16, "heads": 2, "depth": 6, "patch": 2}
MAIN = randomised(thalweg.compose(backbone=BACKBONE, facts=FACTS, heads=[2, 3]), 0.1)
LABELS = torch.tensor([2, 0, 1])
T = torch.tensor([0.9, 0.5, 0.1], dtype=torch.float64)
X = torch.randn(3, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
ASKED = Query(X, T, Condition(LABELS))


def innermost():
    return NetworkField(MAIN, torch.device("cpu"), False)


@torch.no_grad()
def velocity(*guidances, asked=ASKED):
    return composed(innermost(), guidances)(asked)


@torch.no_grad()
def heads(*wanted, asked=ASKED):
    return innermost().heads(asked, wanted)


def near(found, expected):
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-5)


def measured(monkeypatch, products, leads):
    """A calibration of the heads after 2 and 3, the same at all times."""
    found = Calibration((Head(2), Head(3)), (0.0, 1.0), (products,), (leads,), (1.0,), {})
    monkeypatch.setattr(MAIN, "calibration", found)


def test_the_first_intermediate_head_is_the_weak_one_unless_another_is_named():
    two, three, last = heads(2, 3, -1)
    near(velocity(Internal(scale=1.7)), two + 1.7 * (last - two))
    near(velocity(Internal(scale=1.7, after=3)), three + 1.7 * (last - three))


def test_a_scale_of_one_is_the_network_to_the_bit():
    (last,) = heads(-1)
    within = (0.2, 0.95)
    for one in (1.0, [[0.0, 1.0]], [[0.3, 1.0], [1.0, 1.0]]):
        for guidance in (Internal, Half, PathDrop):
            assert torch.equal(velocity(guidance(scale=one, interval=within)), last)
    # And also where a curve passes through one.
    x, t = X, torch.tensor([0.5, 0.5, 0.5], dtype=torch.float64)
    asked = Query(x, t, Condition(LABELS))
    curve = velocity(Internal(scale=[[0.0, 0.0], [0.5, 1.0], [1.0, 3.0]]), asked=asked)
    assert torch.equal(curve, heads(-1, asked=asked)[0])
    assert torch.equal(velocity(Ladder(weights=(0.0, 0.0))), last)


def test_a_curve_scales_by_time():
    two, last = heads(2, -1)
    w = torch.tensor([1.9, 1.5, 1.1], dtype=torch.float64).view(-1, 1, 1, 1)
    near(velocity(Internal(scale=[[0.0, 1.0], [1.0, 2.0]])), two + w * (last - two))


def test_a_calibrated_scale_is_the_one_that_was_measured(monkeypatch):
    measured(monkeypatch, ((4.0, 1.0), (1.0, 2.0)), (2.0, 1.0))
    two, three, last = heads(2, 3, -1)
    # w* = 1 + 2 / 4 for the first, 1 + 1 / 2 for the second.
    near(velocity(Internal("calibrated", strength=1.0)), two + 1.5 * (last - two))
    near(velocity(Internal("calibrated", strength=3.0, after=3)), three + 2.5 * (last - three))
    assert torch.equal(velocity(Internal("calibrated", strength=0.0)), last)
    # Both together: (4 1; 1 2) a = (2; 1).
    a, b = 3 / 7, 2 / 7
    near(velocity(Ladder(strength=2.0)), last + 2 * a * (last - two) + 2 * b * (last - three))
    near(velocity(Ladder(strength=1.0, after=(3,))), last + 0.5 * (last - three))


def test_the_ladder_leads_away_from_several_heads():
    two, three, last = heads(2, 3, -1)
    near(velocity(Ladder(weights=(0.5, -0.2))), last + 0.5 * (last - two) - 0.2 * (last - three))
    one = velocity(Ladder(weights=(0.7,), after=(3,)))
    near(one, velocity(Internal(scale=1.7, after=3)))
    with pytest.raises(ConfigError, match="3 weights for the heads after 2, 3; give one for each"):
        velocity(Ladder(weights=(1.0, 1.0, 1.0)))


def test_the_weak_half_has_no_condition_and_stops_at_its_head():
    (weak,), (last,) = heads(2, asked=ASKED.null()), heads(-1)
    near(velocity(Half(scale=1.6)), weak + 1.6 * (last - weak))
    with pytest.raises(ConfigError, match="unconditional"):
        velocity(Half(), asked=Query(X, T, Condition()))


def test_the_weak_path_skips_blocks():
    (last,) = heads(-1)
    weak = MAIN.heads(X.float(), T, ASKED.condition, (-1,), skipped=(1, 4))[0].detach().double()
    near(velocity(PathDrop(scale=1.6, skip=(2, 4))), weak + 1.6 * (last - weak))
    assert not torch.allclose(weak, last)


def test_classifier_free_guidance_stands_around_all_of_them():
    for inner in (Internal(scale=1.5), Ladder(weights=(0.5, 0.1)), PathDrop(scale=1.2)):
        shown, hidden = velocity(inner), velocity(inner, asked=ASKED.null())
        near(velocity(inner, ClassifierFree(scale=1.8)), hidden + 1.8 * (shown - hidden))
    for inner in (Internal(), Ladder(weights=(0.5, 0.1)), Half(), PathDrop()):
        with pytest.raises(ConfigError, match="must stand innermost"):
            velocity(ClassifierFree(scale=1.8), inner)


@pytest.mark.parametrize(
    ("guidance", "cost"),
    [
        (Internal(scale=1.5), 1),
        (Ladder(weights=(0.5, 0.5)), 1),
        (Half(scale=1.5), 1 + Fraction(2, 6)),
        (Half(scale=1.5, after=3), 1 + Fraction(3, 6)),
        (PathDrop(scale=1.5), 1 + Fraction(2, 6)),  # blocks 2 to 5 of 6 are left out
        (Half(scale=1.0), 1),
        ([Internal(scale=1.5), "cfg"], 2),
    ],
)
def test_what_a_step_costs_is_counted_in_blocks(guidance, cost):
    drawn = thalweg.sample(MAIN, labels=[0, 1], indices=range(2), sampler=Euler(steps=6), guidance=guidance)
    assert drawn.nfe == float(6 * cost)


def test_solvers_know_where_guidance_begins_and_ends():
    interval = (0.3, 0.7)
    for guidance in (
        Internal(2.0, interval=interval),
        Half(2.0, interval=interval),
        PathDrop(2.0, interval=interval),
        Ladder((0.5, 0.5), interval=interval),
    ):
        assert composed(innermost(), [guidance]).breaks == interval
        outside = Query(X, torch.tensor([0.9, 0.2, 0.71], dtype=torch.float64), Condition(LABELS))
        assert torch.equal(velocity(guidance, asked=outside), heads(-1, asked=outside)[0])


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"scale": "measured"}, r"scale: must be a number, points \[t, scale\] or 'calibrated': 'measured'"),
        ({"scale": -1}, "must be a finite number of at least 0"),
        ({"scale": float("inf")}, "scale: expected a number"),
        ({"scale": []}, "points"),
        ({"scale": [[0.5, 1], [0.5, 2]]}, "with rising t"),
        ({"scale": [[0.5, 1], [1.5, 2]]}, "from 0 to 1"),
        ({"scale": [[0.5]]}, "scale: expected"),
        ({"strength": -1}, "strength"),
        ({"after": 0}, "after: must be at least 1"),
        ({"form": "raw"}, "form"),
    ],
)
def test_scales_that_make_no_sense_are_named(stated, said):
    with pytest.raises(ThalwegError, match=said):
        structure(InternalConfig, stated)


def test_a_recipe_states_a_scale_in_every_form():
    for scale in (1.5, 2, "calibrated", [[0.0, 1.2], [1.0, 1.6]]):
        config = structure(InternalConfig, {"scale": scale})
        from thalweg.config import dump

        assert structure(InternalConfig, dump(config)) == config
    assert structure(InternalConfig, {"scale": [[0.0, 1.2], [1.0, 1.6]]}).scale == ((0.0, 1.2), (1.0, 1.6))


def test_a_path_that_skips_all_or_nothing_is_refused():
    for skip in ((0, 2), (3, 7), (5, 4), (1, 6)):
        with pytest.raises(ConfigError, match="skip some of 1 to 6, and leave some"):
            velocity(PathDrop(skip=skip))


@pytest.mark.parametrize(("depth", "kept"), [(3, 2), (4, 2), (6, 2), (8, 4)])
def test_a_shallow_network_has_a_middle_to_skip_too(depth, kept):
    network = thalweg.compose(backbone={**BACKBONE, "depth": depth}, facts=FACTS)
    field = NetworkField(network, torch.device("cpu"), mixed=False)
    with torch.no_grad():
        PathDropConfig().build(network.facts)(field)(ASKED)
    assert field.tally.total_nfe == len(X) * (1 + Fraction(kept, depth))


def test_a_network_without_a_middle_is_told():
    for depth, fix in ((2, r"skip=\(2, 2\)"), (1, "remove the guidance"), (0, "remove the guidance")):
        with pytest.raises(ConfigError, match=f"this one has {depth}; .*{fix}"):
            PathDropConfig().build(Facts((1, 8, 8), depth=depth))
