"""Classifier-free guidance: the formula, and exactly the evaluations that the interval asks for."""

import attrs
import pytest
import torch

from samplers.gaussian import LINEAR, no_increments, noise
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.guidance import ConditionedField
from thalweg.types import Condition, Query, Text
from thalweg_samplers.classifier_free import ClassifierFreeConfig
from thalweg_samplers.dopri5 import Dopri5Config
from thalweg_samplers.euler import EulerConfig
from thalweg_samplers.euler_maruyama import EulerMaruyamaConfig
from thalweg_samplers.heun import HeunConfig

FACTS = Facts(shape=(2, 3, 3), classes=4)
LABELS = torch.tensor([2, 0, 3])


@attrs.define
class Network:
    """v = (class + 1) x - t, with class = 10 where the label is hidden; notes its calls."""

    calls: list = attrs.field(factory=list)

    def __call__(self, query):
        x, t, condition, _ = query
        self.calls.append((len(x), condition.hidden().tolist()))
        kind = torch.where(condition.hidden(), 10, condition.labels).view(-1, 1, 1, 1)
        return (kind + 1) * x - t.view(-1, 1, 1, 1)


def expected(x, t, scale, open_N):
    conditional = (LABELS.view(-1, 1, 1, 1) + 1) * x - t.view(-1, 1, 1, 1)
    unconditional = 11 * x - t.view(-1, 1, 1, 1)
    guided = unconditional + scale * (conditional - unconditional)
    return torch.where(open_N.view(-1, 1, 1, 1), guided, conditional)


def times(*values):
    return torch.tensor(values, dtype=torch.float64)


def conditioned(config, network, condition, facts=FACTS):
    return ConditionedField(config.build(facts)(network), condition)


def guided(network, scale=1.8, interval=(0.2, 0.7)):
    return conditioned(ClassifierFreeConfig(scale=scale, interval=interval), network, Condition(LABELS))


@pytest.mark.parametrize(
    ("t", "is_open", "calls"),
    [
        ((0.5, 0.5, 0.5), (True, True, True), (6, [False] * 3 + [True] * 3)),
        ((0.9, 0.9, 0.9), (False, False, False), (3, [False] * 3)),
        ((0.1, 0.1, 0.1), (False, False, False), (3, [False] * 3)),
        ((0.7, 0.2, 0.70001), (True, True, False), (5, [False] * 3 + [True] * 2)),
        ((0.1, 0.4, 0.9), (False, True, False), (4, [False] * 3 + [True])),
    ],
    ids=["open", "above", "below", "edges", "mixed"],
)
@pytest.mark.parametrize("scale", [0.0, 0.5, 1.8, 7.5])
def test_values_follow_the_formula_and_only_open_samples_are_evaluated_twice(t, is_open, calls, scale):
    network, x = Network(), noise(3)
    found = guided(network, scale)(x, times(*t))
    torch.testing.assert_close(
        found, expected(x, times(*t), scale, torch.tensor(is_open)), rtol=1e-13, atol=1e-13
    )
    assert network.calls == [calls]


def test_scale_one_evaluates_no_second_half():
    network, x = Network(), noise(3)
    found = guided(network, scale=1.0)(x, times(0.5, 0.5, 0.5))
    assert network.calls == [(3, [False] * 3)]
    assert torch.equal(found, Network()(Query(x, times(0.5, 0.5, 0.5), Condition(LABELS))))


def test_an_edge_is_met_in_spite_of_rounding():
    t = torch.linspace(1, 0, 11, dtype=torch.float64)[3]
    network = Network()
    guided(network, interval=(0.0, 0.7))(noise(3), (t + 1e-15).expand(3))
    guided(network, interval=(0.7, 1.0))(noise(3), (t - 1e-15).expand(3))
    assert [count for count, _ in network.calls] == [6, 6]


def test_a_sample_whose_label_is_hidden_already_is_guided_to_where_it_is():
    dropped = Condition(LABELS, torch.tensor([False, True, False]))
    network, x = Network(), noise(3)
    t = times(0.5, 0.5, 0.5)
    found = conditioned(ClassifierFreeConfig(scale=3.0), network, dropped)(x, t)
    torch.testing.assert_close(found[1], 11 * x[1] - 0.5)
    assert network.calls == [(6, [False, True, False, True, True, True])]


@pytest.mark.parametrize(
    ("config", "evaluations"),
    [
        # Times 1, 0.9, ..., 0.1: 0.2 to 0.7 are open.
        (EulerConfig(steps=10), 10 + 6),
        # The same steps are open; each of them costs two guided evaluations.
        (HeunConfig(steps=10), 19 + 12),
        # Times 1, 0.9, ..., 0.1 again.
        (EulerMaruyamaConfig(steps=10, last=0.1), 10 + 6),
    ],
    ids=["euler", "heun", "euler_maruyama"],
)
def test_evaluations_of_a_whole_trajectory_follow_from_the_interval(config, evaluations):
    network = Network()
    config.build(FACTS)(guided(network), noise(3), lambda step: noise(3, seed=step), LINEAR)
    assert sum(count for count, _ in network.calls) == 3 * evaluations


def test_a_heun_step_is_guided_as_where_it_begins():
    network, x = Network(), noise(3)
    found = HeunConfig(steps=2).build(FACTS)(guided(network, 2.0, (0.0, 0.5)), x, no_increments, LINEAR)
    one, half = times(1, 1, 1), times(0.5, 0.5, 0.5)
    shut, open_N = torch.tensor([False] * 3), torch.tensor([True] * 3)
    slope = expected(x, one, 2.0, shut)
    x = x - 0.25 * (slope + expected(x - 0.5 * slope, half, 2.0, shut))
    torch.testing.assert_close(found, x - 0.5 * expected(x, half, 2.0, open_N))
    assert [count for count, _ in network.calls] == [3, 3, 6]


def test_a_field_under_way_can_be_narrowed():
    network, x = Network(), noise(3)
    t = times(0.5, 0.9, 0.5)
    field = guided(network).during(t).select(torch.tensor([2, 1]))
    found = field(x[[2, 1]], times(0.1, 0.1))
    everything = expected(x, times(0.1, 0.1, 0.1), 1.8, torch.tensor([True, False, True]))
    torch.testing.assert_close(found, everything[[2, 1]])


def test_dopri5_guides_each_sample_by_its_own_time():
    # The exact solution of dx/dt = r(t) x with a jump of r at 0.7 and 0.2.
    def network(query):
        hidden = query.condition.hidden()
        return torch.where(hidden, 0.5, query.condition.labels / 2).view(-1, 1, 1, 1) * query.x

    field = conditioned(ClassifierFreeConfig(scale=2.0, interval=(0.2, 0.7)), network, Condition(LABELS))
    x_1 = noise(3)
    found = Dopri5Config(rtol=1e-7, atol=1e-7).build(FACTS)(field, x_1, no_increments, LINEAR)
    rate = LABELS / 2
    total = 0.5 * rate + 0.5 * (0.5 + 2.0 * (rate - 0.5))
    torch.testing.assert_close(found, x_1 * torch.exp(-total).view(-1, 1, 1, 1), rtol=1e-5, atol=1e-5)


def test_guiding_the_velocity_guides_the_drift():
    x, t, scale = noise(3), times(0.3, 0.5, 0.9), 1.8
    conditional, unconditional = noise(3, seed=1), noise(3, seed=2)

    def drift(v):
        return v - t.view(-1, 1, 1, 1) * LINEAR.score(x, v, t)

    of_velocity = drift(unconditional + scale * (conditional - unconditional))
    of_drift = drift(unconditional) + scale * (drift(conditional) - drift(unconditional))
    torch.testing.assert_close(of_velocity, of_drift)


def test_captions_are_a_condition_too():
    # The velocity is the mean of the caption's tokens, and -1 where the empty caption stands for it.
    def network(query):
        condition = query.condition
        shown = torch.where(condition.hidden(), -1.0, condition.text.tokens.mean((1, 2)))
        return shown.view(-1, 1, 1, 1) + 0 * query.x

    facts = Facts(shape=(2, 3, 3), text=(4, 5))
    said = torch.tensor([1.0, 2.0]).view(2, 1, 1).expand(2, 4, 5)
    seen = torch.ones(2, 4, dtype=torch.bool)
    text = Text(said, seen, torch.full((4, 5), -1.0), torch.ones(4, dtype=torch.bool))
    field = conditioned(ClassifierFreeConfig(scale=3.0), network, Condition(text=text), facts)
    found = field(noise(2), times(0.5, 0.5))
    torch.testing.assert_close(found[:, 0, 0, 0], torch.tensor([5.0, 8.0], dtype=found.dtype))


def test_unconditional_data_are_refused():
    with pytest.raises(ConfigError, match="data are unconditional"):
        ClassifierFreeConfig().build(Facts(shape=(2, 3, 3)))
    with pytest.raises(ConfigError, match="give the samples labels"):
        conditioned(ClassifierFreeConfig(), Network(), Condition())(noise(3), times(0.9, 0.9, 0.9))


def test_a_network_that_was_shown_every_condition_is_refused():
    for facts in (FACTS, Facts(shape=(2, 3, 3), text=(4, 5))):
        shown = attrs.evolve(facts, condition_dropout=False)
        for scale in (0.0, 0.5, 1.8):
            with pytest.raises(ConfigError, match=r"with every condition shown.*training\.condition_dropout"):
                ClassifierFreeConfig(scale=scale).build(shown)
        # It never asks for the half that the network does not know.
        ClassifierFreeConfig(scale=1.0).build(shown)


@pytest.mark.parametrize(("scale", "half"), [(0.0, 1.0), (0.25, 0.75)])
def test_a_scale_below_one_weakens_the_condition(scale, half):
    # Not cut off at 1, as some implementations have it.
    x, t = noise(3), times(0.5, 0.5, 0.5)
    query = Query(x, t, Condition(LABELS))
    conditional, unconditional = Network()(query), Network()(query.null())
    found = guided(Network(), scale)(x, t)
    torch.testing.assert_close(found, half * unconditional + (1 - half) * conditional)
    assert not torch.allclose(found, conditional)
