"""Steps of a flow map: exact on exact averages, counted, and refused where there is none."""

import attrs
import pytest
import torch

import thalweg
from exact_flow_map import exact_network
from samplers.gaussian import COSINE, LINEAR, no_increments, noise
from thalweg.composition import interpolant_of
from thalweg.config import component
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.guidance import ConditionedField, composed
from thalweg.network_field import NetworkField
from thalweg.plugins import build_component
from thalweg.randomness import SampleNoise
from thalweg.types import Condition, Query
from thalweg_authoring.gaussian import Gaussian
from thalweg_authoring.kinds.samplers import KnownField
from thalweg_authoring.numbers import randomised
from thalweg_samplers import ClassifierFree, Euler, FlowMapSampler

PATHS = pytest.mark.parametrize("path", [LINEAR, COSINE], ids=["linear", "cosine"])


def field_of(network, *guidances):
    field = NetworkField(network, torch.device("cpu"), mixed=False)
    return ConditionedField(composed(field, guidances), Condition())


@PATHS
@pytest.mark.parametrize("options", [{"steps": 1}, {}, {"steps": 4}, {"times": (1.0, 0.7, 0.0)}], ids=str)
def test_a_few_steps_are_the_exact_map(path, options):
    data, x_1 = Gaussian(path), noise(20)
    x_0 = FlowMapSampler(**options)(KnownField(data.velocity, data.average), x_1, no_increments, path)
    assert x_0.dtype == torch.float64
    torch.testing.assert_close(x_0, data.flow(x_1), atol=1e-12, rtol=0)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_samples_of_an_exact_network_are_those_of_the_flow_at_one_evaluation_a_step(steps):
    network = exact_network()
    drawn = thalweg.sample(network, indices=range(30), sampler={"type": "flow_map", "steps": steps})
    assert drawn.nfe == steps
    expected = network.backbone.data.flow(SampleNoise(0, range(30), (3,)).initial())
    torch.testing.assert_close(drawn.x, expected.float(), atol=1e-5, rtol=1e-5)
    straight = thalweg.sample(network, indices=range(30), sampler={"type": "euler", "steps": steps}).x
    assert float((straight - expected).norm()) > 100 * float((drawn.x - expected).norm())


def test_other_samplers_follow_its_velocity():
    network = exact_network()
    expected = network.backbone.data.flow(SampleNoise(0, range(10), (3,)).initial()).float()
    for sampler, error in ((Euler(steps=100), 0.08), ("dopri5", 5e-3)):
        found = thalweg.sample(network, indices=range(10), sampler=sampler).x
        assert float((found - expected).abs().max()) < error


@PATHS
def test_a_map_to_a_time_between_and_on_is_the_map(path):
    network = exact_network(interpolant=path).double()
    x, t, s, r = noise(8, (3,)), *(torch.full((8,), one, dtype=torch.float64) for one in (0.9, 0.5, 0.2))

    def mapped(x, t, r):
        return x - (t - r)[:, None] * network.average(x, t, r, Condition())

    whole = mapped(x, t, r)
    torch.testing.assert_close(mapped(mapped(x, t, s), s, r), whole, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(whole, network.backbone.data.transported(x, t, r), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(
        network.average(x, t, t, Condition()), network.velocity(x, t, Condition()), atol=1e-9, rtol=0
    )


def test_the_average_is_asked_of_a_network_at_both_times():
    backbone = {"type": "dit", "width": 16, "heads": 2, "depth": 2, "patch": 2}
    network = randomised(
        thalweg.compose(backbone=backbone, refiner="film", branches=2, facts=Facts((1, 4, 4), classes=3))
    )
    network.facts = attrs.evolve(network.facts, flow_map=True)
    x = noise(2, (1, 4, 4)).float()
    t, r = (torch.tensor(one, dtype=torch.float64) for one in ([0.9, 0.5], [0.1, 0.5]))
    condition = Condition(torch.tensor([0, 2]))
    inner = NetworkField(network, torch.device("cpu"), mixed=False)
    found = inner.average(Query(x, t, condition), r)
    expected = network(x, torch.stack([t, r]).float(), condition).velocities[-1]
    torch.testing.assert_close(found, expected)
    assert inner.tally.total_nfe == 2


def test_guidance_that_knows_no_average_is_refused():
    network, x = exact_network(), noise(4, (3,))
    changed = [lambda field: lambda query: 2 * field(query)]
    for guidance in (changed, [ClassifierFree(scale=2.0)]):
        with pytest.raises(ConfigError, match=r"this field offers none; .* without guidance around it"):
            FlowMapSampler()(field_of(network, *guidance), x)
    with pytest.raises(ConfigError, match=r"knows no average of it; set guidance to none"):
        thalweg.sample(network, indices=range(2), sampler="flow_map", guidance=changed)


class Doubled:
    """A guidance that knows the average of what it makes: along twice the velocity, from the same x."""

    offers_average = True

    def __call__(self, field):
        def guided(query):
            return 2 * field(query)

        guided.average = lambda query, r: 2 * field.average(query, r)
        return guided


def test_guidance_may_offer_an_average_of_its_own():
    network, x = exact_network(), noise(4, (3,))
    one = FlowMapSampler(steps=1)(field_of(network), x)
    doubled = FlowMapSampler(steps=1)(field_of(network, Doubled()), x)
    torch.testing.assert_close(x - doubled, 2 * (x - one))
    assert thalweg.sample(network, indices=range(2), sampler="flow_map", guidance=Doubled()).nfe == 2


def test_a_network_that_is_no_flow_map_is_refused():
    network = exact_network()
    network.facts = attrs.evolve(network.facts, flow_map=False)
    said = r"follows average velocities, and this network is no flow map, .*after a loop of your own"
    with pytest.raises(ConfigError, match=said):
        thalweg.sample(network, indices=range(2), sampler="flow_map")
    with pytest.raises(ConfigError, match=r"off a flow map, .* this FlowNetwork is none"):
        thalweg.sample(network, indices=range(2), sampler=FlowMapSampler())
    with pytest.raises(ConfigError, match=said):
        thalweg.sample(lambda x, t: -x, shape=(2,), indices=range(2), sampler="flow_map")
    with pytest.raises(ConfigError, match="this field offers none"):
        FlowMapSampler()(lambda x, t: -x, noise(2))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"steps": 0}, "steps: must be at least 1"),
        ({"times": [1.0, 0.5, 0.2, 0.0]}, r"times: are 4, and 2 steps .* at 3 times; .* set steps to 3"),
        ({"times": [1.0, 0.5, 0.1]}, r"times: must descend from 1 to 0"),
        ({"times": [1.0, 1.0, 0.0]}, r"times: must descend from 1 to 0"),
        ({"times": [0.9, 0.5, 0.0]}, r"times: must descend from 1 to 0"),
    ],
)
def test_options_that_make_no_sense_are_named(options, said):
    with pytest.raises(ConfigError, match=said):
        FlowMapSampler(**options)
    with pytest.raises(ConfigError, match=said.split(": ")[1]):
        component("sampler", {"type": "flow_map", **options})


def test_a_recipe_states_its_times():
    config = component("sampler", {"type": "flow_map", "steps": 2, "times": [1.0, 0.4, 0.0]})
    facts = Facts((3,), branches=2, flow_map=True)
    sampler = build_component(config, facts)
    assert (sampler.steps, sampler.times) == (2, (1.0, 0.4, 0.0))
    data, x_1 = Gaussian(LINEAR), noise(3, (3,))
    asked = []

    def average(x, t, r):
        asked.append((float(t[0]), float(r[0])))
        return data.average(x, t, r)

    sampler(KnownField(data.velocity, average), x_1, no_increments, interpolant_of("linear", facts))
    assert asked == [(1.0, 0.4), (0.4, 0.0)]
