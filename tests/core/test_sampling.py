"""Drawing samples: what is drawn does not depend on how, what it costs is counted, bad input is named."""

import pytest
import torch
from torch import nn

import thalweg
from samplers.gaussian import COSINE, LINEAR, Gaussian
from thalweg.errors import ConfigError, ThalwegError
from thalweg.facts import Facts
from thalweg.randomness import SampleNoise
from thalweg.sampling import _check_choices, sample
from thalweg_samplers.classifier_free import ClassifierFreeConfig
from thalweg_samplers.dopri5 import Dopri5Config
from thalweg_samplers.euler import Euler, EulerConfig

SHAPE = (1, 3, 5)
DATA = [Gaussian(LINEAR, mu, s) for mu, s in [(2.0, 0.1), (-2.0, 0.2), (0.0, 0.05)]]


class Network:
    """The velocity of Gaussian classes 0 and 1; class 2 is where the label is hidden."""

    def __init__(self, classes=2):
        self.facts = Facts(shape=SHAPE, classes=classes)
        self.seen = []

    def velocity(self, x, t, condition):
        self.seen.append((x.dtype, t.dtype, t.device.type, len(x), torch.is_autocast_enabled("cpu")))
        if condition.labels is None:
            return DATA[2].velocity(x, t.to(x))
        kinds = torch.where(condition.hidden(), 2, condition.labels).view(-1, 1, 1, 1)
        return sum((kinds == kind) * data.velocity(x, t.to(x)) for kind, data in enumerate(DATA))


class Module(nn.Module):
    """A network with weights and modes."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.facts = Facts(shape=SHAPE)
        self.linear = nn.Linear(5, 5)
        self.dropout = nn.Dropout(0.5)
        nn.init.constant_(self.linear.weight, scale)
        nn.init.zeros_(self.linear.bias)

    def velocity(self, x, t, condition):
        return self.dropout(self.linear(x))


def draw(network=None, indices=range(5), labels=(0, 1, 1, 0, 1), sampler="euler", **options):
    labels = None if labels is None else list(labels)
    return sample(network or Network(), indices=list(indices), labels=labels, sampler=sampler, **options)


SAMPLERS = pytest.mark.parametrize(
    "sampler",
    [
        {"type": "euler", "steps": 7},
        {"type": "heun", "steps": 7},
        "dopri5",
        {"type": "euler_maruyama", "steps": 7},
    ],
    ids=["euler", "heun", "dopri5", "euler_maruyama"],
)


@SAMPLERS
def test_a_sample_is_the_same_in_any_batch_and_order(sampler):
    options = {
        "sampler": sampler,
        "guidance": {"type": "cfg", "scale": 1.5, "interval": [0.0, 0.7]},
        "seed": 4,
    }
    whole = draw(**options).x
    assert whole.shape == (5, *SHAPE)
    assert whole.dtype == torch.float32
    assert torch.equal(draw(batch_size=2, **options).x, whole)
    assert torch.equal(draw(indices=[3, 1], labels=[0, 1], **options).x, whole[[3, 1]])
    assert not torch.equal(draw(**{**options, "seed": 5}).x, whole)


def test_samples_are_of_their_class():
    found = draw(sampler={"type": "euler_maruyama", "steps": 60}).x.mean((1, 2, 3))
    assert found.tolist() == pytest.approx([2, -2, -2, 2, -2], abs=0.3)


def test_without_labels_samples_are_unconditional():
    assert draw(labels=None, sampler={"type": "heun", "steps": 40}).x.abs().max() < 0.5
    assert draw(Network(classes=None), labels=None).x.abs().max() < 0.5


@pytest.mark.parametrize("guidance", ["cfg", {"type": "cfg", "scale": 2.0, "interval": [0.2, 0.7]}])
def test_evaluations_are_counted_per_image(guidance):
    network = Network()
    drawn = draw(network, sampler={"type": "euler", "steps": 10}, guidance=guidance, batch_size=2)
    assert drawn.total_nfe == sum(count for *_, count, _ in network.seen)
    assert drawn.nfe == {"cfg": 20}.get(str(guidance), 16)
    assert drawn.seconds > 0


def test_no_guidance_costs_one_evaluation_a_step():
    for guidance in (None, "none"):
        assert draw(sampler={"type": "euler", "steps": 10}, guidance=guidance).nfe == 10


def test_dopri5_leaves_out_samples_that_have_arrived():
    network = Network()
    drawn = draw(network, sampler=Dopri5Config())
    sizes = [count for *_, count, _ in network.seen]
    assert sizes[0] == 5
    assert sizes == sorted(sizes, reverse=True)
    alone = [
        draw(indices=[index], labels=[label], sampler=Dopri5Config()).total_nfe
        for index, label in enumerate((0, 1, 1, 0, 1))
    ]
    assert drawn.total_nfe == sum(alone)


def test_names_mappings_configs_and_samplers_are_the_same():
    forms = ["euler", {"type": "euler"}, EulerConfig(), Euler(50)]
    first, *others = [draw(sampler=form).x for form in forms]
    assert all(torch.equal(other, first) for other in others)


def test_a_function_of_ones_own_is_a_sampler_and_a_guidance():
    def sampler(velocity, x_1, increments, interpolant):
        return velocity(x_1, torch.zeros(len(x_1), dtype=torch.float64)) + increments(0)

    def guidance(field):
        return lambda query: 0 * query.x

    noise = SampleNoise(0, [7], SHAPE)
    noise.initial()
    assert torch.equal(
        draw(indices=[7], labels=[0], sampler=sampler, guidance=guidance).x, noise.increments(0)
    )


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_network_sees_float32_and_times_in_float64(precision):
    network = Network()
    draw(network, precision=precision)
    assert {(*row[:3], row[4]) for row in network.seen} == {
        (torch.float32, torch.float64, "cpu", precision == "bf16-mixed")
    }
    assert not torch.is_autocast_enabled("cpu")


def test_bfloat16_changes_a_networks_products_only_a_little():
    exact = draw(Module(0.3), labels=None, precision="32-true").x
    mixed = draw(Module(0.3), labels=None, precision="bf16-mixed").x
    assert not torch.equal(mixed, exact)
    torch.testing.assert_close(mixed, exact, rtol=0.02, atol=0.02)


@pytest.mark.parametrize(("precision", "compile"), [("64-true", "auto"), ("auto", "maybe")])
def test_choices_that_are_none_are_named(precision, compile):
    """Asked directly, since the tests' own type checks would be first to complain."""
    with pytest.raises(thalweg.ConfigError, match=r"64-true|maybe"):
        _check_choices(precision, compile)


def test_compiling_without_a_compiler_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(thalweg.ConfigError, match="no C\\+\\+ compiler"):
        draw(compile="on")


def test_the_path_can_be_chosen():
    sampler = {"type": "euler_maruyama", "steps": 5}
    default = draw(sampler=sampler).x
    assert not torch.equal(draw(sampler=sampler, interpolant="cosine").x, default)
    assert torch.equal(draw(sampler=sampler, interpolant="linear").x, default)
    assert torch.equal(draw(sampler=sampler, interpolant=LINEAR).x, default)
    network = Network()
    network.interpolant = COSINE
    assert torch.equal(draw(network, sampler=sampler).x, draw(sampler=sampler, interpolant="cosine").x)


def test_the_network_is_evaluated_without_dropout_or_gradients_and_left_as_it_was():
    network = Module(0.1)
    network.linear.eval()
    first = draw(network, labels=None).x
    assert torch.equal(draw(network, labels=None).x, first)
    assert not first.requires_grad
    assert (network.training, network.linear.training, network.dropout.training) == (True, False, True)
    with pytest.raises(ThalwegError, match="not finite"):
        draw(Module(float("nan")), labels=None)
    assert torch.is_grad_enabled()


def test_the_networks_mode_comes_back_after_an_error():
    network = Module(float("nan"))
    with pytest.raises(ThalwegError):
        draw(network, labels=None)
    assert network.training


def test_the_global_generator_is_not_touched():
    before = torch.get_rng_state()
    draw(sampler={"type": "euler_maruyama", "steps": 5})
    assert torch.equal(torch.get_rng_state(), before)


def test_progress_tells_how_many_are_drawn():
    told = []
    draw(batch_size=2, progress=lambda done, total: told.append((done, total)))
    assert told == [(2, 5), (4, 5), (5, 5)]


def test_the_first_sample_that_is_not_finite_is_named():
    class Broken(Network):
        def velocity(self, x, t, condition):
            return torch.where(condition.labels.view(-1, 1, 1, 1) == 1, float("inf"), 0.0) * torch.ones_like(
                x
            )

    with pytest.raises(ThalwegError, match="sample 11 is not finite"):
        draw(Broken(), indices=[10, 11, 12], labels=[0, 1, 1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": [0, 1, 2, 7, 0]}, r"labels\[2\] is 2; the network knows the classes 0 to 1"),
        ({"labels": [0, -1, 0, 0, 0]}, r"labels\[1\] is -1"),
        ({"labels": [0, 1]}, "2 labels for 5 indices"),
        ({"indices": [], "labels": []}, "indices is empty"),
        ({"indices": [0, -2], "labels": [0, 0]}, r"indices\[1\]' must be at least 0, got -2"),
        ({"batch_size": 0}, "'batch_size' must be at least 1, got 0"),
        ({"network": Network(classes=None)}, "the network is unconditional"),
        ({"labels": None, "guidance": "cfg"}, "give the samples labels"),
        ({"network": Network(classes=None), "labels": None, "guidance": "cfg"}, "data are unconditional"),
        ({"sampler": "eular"}, "'euler'"),
        ({"sampler": {"type": "euler", "step": 3}}, "'steps'"),
        ({"sampler": {"type": "euler", "steps": 0}}, "steps"),
        ({"guidance": "cgf"}, "'cfg'"),
        ({"interpolant": "sine"}, "unknown interpolant 'sine'"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(options, message):
    with pytest.raises(ConfigError, match=message) as caught:
        draw(**options)
    assert "\n" not in str(caught.value).strip()


def shown(**more):
    """A network that was trained with every label shown."""
    network = Network()
    network.facts = Facts(shape=SHAPE, classes=2, condition_dropout=False, **more)
    return network


@pytest.mark.parametrize(
    "guidance",
    [
        "cfg",
        {"type": "cfg", "scale": 0.5},
        ClassifierFreeConfig(scale=1.5),
        # Built elsewhere, so it does not know the network.
        ClassifierFreeConfig(scale=1.5).build(Facts(shape=SHAPE, classes=2)),
    ],
    ids=["name", "table", "config", "built"],
)
def test_guidance_of_a_network_that_was_shown_every_label_is_refused(guidance):
    network = shown()
    with pytest.raises(ConfigError, match="trained with every condition shown"):
        draw(network, guidance=guidance)
    assert network.seen == []
    assert draw(network, guidance={"type": "cfg", "scale": 1.0}).x.isfinite().all()
    assert draw(Network(), guidance=guidance).x.isfinite().all()


def test_samples_without_labels_of_a_network_that_was_shown_every_label_are_refused():
    with pytest.raises(ConfigError, match="give the samples labels"):
        draw(shown(), labels=None)
