"""Early exit: which samples end early, what they get, which blocks are passed, and what is refused."""

from fractions import Fraction

import pytest
import torch

import thalweg
from thalweg.config import structure
from thalweg.errors import ConfigError, ThalwegError
from thalweg.facts import Facts
from thalweg.guidance import composed
from thalweg.network_field import NetworkField
from thalweg.types import Condition, Head, Query, Text
from thalweg_authoring.numbers import randomised
from thalweg_samplers import ClassifierFree, EarlyExit, Heun
from thalweg_samplers.early_exit import EarlyExitConfig

FACTS = Facts(shape=(1, 4, 4), classes=3)
DIT = {"type": "dit", "width": 16, "heads": 2, "depth": 6, "patch": 2}
SIT = randomised(thalweg.compose(backbone=DIT, facts=FACTS, heads=[2, 3]), 0.1)
DEEPFLOW = randomised(thalweg.compose(backbone=DIT, refiner="vera", branches=2, facts=FACTS), 0.1)
COUNT = 5
LABELS = torch.arange(COUNT) % 3
T = torch.tensor([0.9, 0.7, 0.5, 0.3, 0.1], dtype=torch.float64)
X = torch.randn(COUNT, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
ASKED = Query(X, T, Condition(LABELS))


def innermost(network):
    return NetworkField(network, torch.device("cpu"), False)


@torch.no_grad()
def velocity(network, *guidances, asked=ASKED):
    field = innermost(network)
    return composed(field, guidances)(asked), field.tally.total_nfe / len(asked.x)


@torch.no_grad()
def heads(network, *wanted):
    return innermost(network).heads(ASKED, wanted)


def disagreement(network, first, second):
    one, other = heads(network, first, second)
    return (one - other).square().flatten(1).mean(1).sqrt()


def near(found, expected):
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-5)


NETWORKS = {
    "SiT": (SIT, Head(2), Head(3)),
    "DeepFlow": (DEEPFLOW, Head(3), Head(3, "corrected")),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_sample_whose_heads_agree_gets_the_second_ones_velocity_and_the_others_the_last_ones(name):
    network, first, second = NETWORKS[name]
    apart_N = disagreement(network, first, second)
    for going in range(COUNT + 1):
        bounds = torch.cat([apart_N.sort(descending=True).values, torch.zeros(1)])
        tolerance = float((bounds[going] + bounds[max(going - 1, 0)]) / 2) if going else float(2 * bounds[0])
        found, nfe = velocity(network, EarlyExit(tolerance))
        goes = apart_N > tolerance
        assert goes.sum() == going
        early, last = heads(network, second, -1)
        near(found[goes], last[goes])
        near(found[~goes], early[~goes])
        assert nfe == Fraction(1, 2) + Fraction(going, 2 * COUNT)


@pytest.mark.parametrize("name", NETWORKS)
def test_no_block_and_no_refiner_is_passed_twice(name):
    network, first, second = NETWORKS[name]
    apart_N = disagreement(network, first, second).sort().values
    passed = dict.fromkeys(range(1, 7), 0)
    handles = [
        block.register_forward_hook(lambda _, given, __, depth=depth: _counted(passed, depth, given))
        for depth, block in enumerate(network.backbone.blocks, 1)
    ]
    refined = []
    if network.refiner is not None:
        handles.append(network.refiner.register_forward_hook(lambda *_: refined.append(1)))
    velocity(network, EarlyExit(float(apart_N[2] + apart_N[3]) / 2))
    for handle in handles:
        handle.remove()
    assert passed == {1: 5, 2: 5, 3: 5, 4: 2, 5: 2, 6: 2}
    assert len(refined) == (0 if network.refiner is None else 1)


def _counted(passed, depth, given):
    passed[depth] += len(given[0])


TOKENS = torch.randn(COUNT + 1, 3, 8, generator=torch.Generator().manual_seed(2))
MASK = torch.ones(COUNT + 1, 3, dtype=torch.bool).tril(-1) | (torch.arange(3) == 0)
BACKBONES = {
    "dit": (DIT, FACTS, Condition(LABELS)),
    "lightningdit": (
        {**DIT, "type": "lightningdit", "value_residual": True, "conditioning": "both"},
        FACTS,
        Condition(LABELS),
    ),
    "mmdit": (
        {**DIT, "type": "mmdit"},
        Facts(shape=(1, 4, 4), text=(3, 8)),
        Condition(text=Text(TOKENS[:-1], MASK[:-1], TOKENS[-1], MASK[-1])),
    ),
}


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_goes_on_where_it_paused(name):
    backbone, facts, condition = BACKBONES[name]
    network = thalweg.compose(
        backbone=backbone, refiner="vera", branches=[2, 4, 6], facts=facts, heads=[1, 3]
    )
    randomised(network, 0.1)
    index = torch.tensor([1, 3])
    goes = torch.zeros(COUNT, dtype=torch.bool).index_fill(0, index, True)
    for pair in ((1, 2), (1, 3), (2, 3), (2, 4), (3, 4)):
        with torch.no_grad():
            _, found, last = network.early(X.float(), T, condition, pair, lambda _: goes)
            whole = network.velocity(X.float(), T, condition)
        assert found.tolist() == [1, 3]
        near(last, whole[index])


def test_a_sample_does_not_depend_on_its_neighbours():
    tolerance = float(disagreement(SIT, Head(2), Head(3)).median()) * 1.01
    whole, _ = velocity(SIT, EarlyExit(tolerance))
    alone = [
        velocity(SIT, EarlyExit(tolerance), asked=ASKED.select(torch.tensor([n])))[0] for n in range(COUNT)
    ]
    near(torch.cat(alone), whole)


def test_a_tolerance_may_be_a_curve_over_time():
    found, nfe = velocity(SIT, EarlyExit([[0.49, 0.0], [0.51, 1e3]]))
    early, last = heads(SIT, 3, -1)
    near(found, torch.where((T > 0.5).view(-1, 1, 1, 1) | (T == 0.5).view(-1, 1, 1, 1), early, last))
    assert nfe == Fraction(1, 2) + Fraction(2, 10)


def test_other_heads_are_compared_where_they_are_named():
    network = thalweg.compose(backbone=DIT, facts=FACTS, heads=[1, 2, 4])
    randomised(network, 0.1)
    for options, depth in (({}, 2), ({"after": 4}, 4), ({"after": 4, "before": 1}, 4)):
        found, nfe = velocity(network, EarlyExit(1e3, **options))
        near(found, heads(network, depth)[0])
        assert nfe == Fraction(depth, 6)
    wide = float(disagreement(network, 1, 4).min()) / 2
    assert velocity(network, EarlyExit(wide, after=4, before=1))[1] == 1


def test_samples_cost_fewer_blocks_and_come_near_as_the_tolerance_falls():
    options = {"labels": LABELS.tolist(), "indices": range(COUNT), "sampler": Heun(steps=8)}
    whole, errors, costs = thalweg.sample(SIT, **options), [], []
    for tolerance in (1e3, 0.1, 0.03, 0.0):
        drawn = thalweg.sample(SIT, guidance=EarlyExit(tolerance), **options)
        errors.append(float((drawn.x - whole.x).square().mean()))
        costs.append(drawn.nfe)
    assert costs == sorted(costs)
    assert costs[0] == whole.nfe / 2
    assert costs[-1] == whole.nfe
    assert errors[0] > errors[-1]
    assert errors[-1] < 1e-9


def test_classifier_free_guidance_stands_around_it():
    guided, nfe = velocity(SIT, EarlyExit(1e3), ClassifierFree(1.5))
    (shown,) = heads(SIT, 3)
    with torch.no_grad():
        (hidden,) = innermost(SIT).heads(ASKED.null(), (3,))
    near(guided, hidden + 1.5 * (shown - hidden))
    assert nfe == 1
    with pytest.raises(
        ConfigError, match="early exit reads the network's own heads, so it must stand innermost"
    ):
        velocity(SIT, ClassifierFree(1.5), EarlyExit())


@pytest.mark.parametrize(
    ("heads", "options", "said"),
    [
        ([], {}, "early exit needs an intermediate head, and this network has none"),
        ([2], {}, "compares two heads, and this network has none before 2 blocks; train with heads"),
        ([2, 3], {"after": 4}, "is to read the head after 4 blocks, and this network has intermediate ones"),
        ([2, 3], {"after": 2}, "none before 2 blocks"),
        ([2, 3], {"after": 2, "before": 3}, "'before' must be less than 'after'"),
        ([2, 3], {"after": 3, "before": 3}, "'before' must be less than 'after'"),
    ],
)
def test_heads_that_are_not_there_are_named(heads, options, said):
    network = thalweg.compose(backbone=DIT, facts=FACTS, heads=heads)
    with pytest.raises(ConfigError, match=said):
        EarlyExitConfig(**options).build(network.facts)


@pytest.mark.parametrize("stated", [{"tolerance": -0.1}, {"tolerance": "calibrated"}, {"after": 0}])
def test_options_that_make_no_sense_are_refused(stated):
    with pytest.raises(ThalwegError, match=next(iter(stated))):
        structure(EarlyExitConfig, stated)


def test_a_field_that_cannot_pause_is_told():
    with pytest.raises(ConfigError, match="early exit needs an intermediate head, and this network has none"):
        thalweg.sample(lambda x, t: -x, shape=(2,), indices=range(2), guidance=EarlyExit())
