"""Read-outs that give clean data: the velocity that follows from them, wherever velocities are read.

Of data N(m, s^2 I) the posterior mean E[x_0 | x_t] is known, and so is the exact velocity; a backbone whose
read-out gives the first must be a network that has the second.
"""

import math

import pytest
import torch
from torch import nn

import thalweg
from thalweg.config import component
from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.network import FlowNetwork
from thalweg.plugins import build_component
from thalweg.saved_network import save
from thalweg.training.step import Losses
from thalweg.types import Batch, Condition, Plan, Refinement, Stream
from thalweg_authoring.gaussian import Gaussian
from thalweg_authoring.numbers import randomised

MEAN, STD, LEAST = 0.7, 0.4, 0.05
FACTS = Facts(shape=(2, 4, 4), classes=3)
PATHS = ("linear", "cosine")
DIT = {"type": "dit", "width": 16, "depth": 4, "heads": 2}


def inputs(count=5, seed=0, least=0.1):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(count, *FACTS.shape, generator=draw, dtype=torch.float64)
    return x, least + (1 - least) * torch.rand(count, generator=draw, dtype=torch.float64)


def each(t):
    return t[:, None, None, None]


def posterior(x, t, path):
    """E[x_0 | x_t]."""
    return Gaussian(path, MEAN, STD).posterior_clean(x, t)


class Posterior(nn.Module):
    """A backbone of four blocks that do nothing, whose read-outs give E[x_0 | x_t]."""

    depth, width, heads, grid = 4, 32, 1, (1, 1)

    def __init__(self, path):
        super().__init__()
        self.path, self.unused = path, nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def embed(self, x_t, condition):
        return Stream(x_t.flatten(1).unsqueeze(1))

    def condition(self, t, condition):
        return t[:, None].expand(-1, self.width)

    def run(self, stream, c, start, stop):
        return stream

    def readout(self):
        path = self.path

        class Reads(nn.Module):
            def forward(self, tokens, c):
                return posterior(tokens.unflatten(2, FACTS.shape).squeeze(1), c[:, 0], path)

        return Reads()


class Passes(nn.Module):
    """A refiner that hands on what it gets."""

    readouts = ()

    def forward(self, stream, boundary):
        return Refinement(stream.tokens)


def network_of(name, **options):
    path = Interpolant.named(name)
    return FlowNetwork(Posterior(path), facts=FACTS, interpolant=path, prediction="clean", **options), path


@pytest.mark.parametrize("name", PATHS)
def test_the_posterior_mean_gives_the_exact_velocity_of_a_gaussian(name):
    network, path = network_of(name, heads=[1, 3])
    x, t = inputs()
    expected = Gaussian(path, MEAN, STD).velocity(x, t)
    prediction = network(x, t, Condition())
    assert torch.allclose(prediction.velocities[-1], expected, atol=1e-12)
    for velocity in network.heads(x, t, None, (1, 3, -1)):
        assert torch.allclose(velocity, expected, atol=1e-12)
    assert torch.allclose(network.velocity(x, t, Condition()), expected, atol=1e-12)
    assert torch.allclose(path.clean(x, expected, t), posterior(x, t, path), atol=1e-12)


def test_on_the_linear_path_it_is_the_difference_over_the_time():
    network, path = network_of("linear")
    x, _ = inputs()
    t = torch.tensor([0.0, 0.01, 0.05, 0.5, 1.0], dtype=torch.float64)
    found = network(x, t, Condition()).velocities[-1]
    expected = (x - posterior(x, t, path)) / each(t.clamp(min=LEAST))
    assert torch.allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("name", PATHS)
def test_branches_at_other_times_have_the_velocity_at_theirs(name):
    """Clean data and noise follow from x_t at the first time, and the velocity of each branch from both."""
    network, path = network_of(name, branches=2, refiner=Passes())
    x, t = inputs()
    times = torch.stack([t, (t + 0.02).clamp(max=1)])
    found = network(x, times, Condition()).velocities
    for velocity, own in zip(found, times, strict=True):
        # What the read-out of the branch gives, which it takes to be at its own time.
        clean = posterior(x, own, path)
        noise = (x - each(path.schedule.alpha(t)) * clean) / each(path.schedule.sigma(t))
        expected = each(path.schedule.d_alpha(own)) * clean + each(path.schedule.d_sigma(own)) * noise
        assert torch.allclose(velocity, expected, atol=1e-12)


@pytest.mark.parametrize("name", PATHS)
def test_a_read_out_of_the_true_data_has_no_loss_in_any_branch(name):
    path = Interpolant.named(name)
    x_0, t = inputs()
    noise = torch.randn_like(x_0)
    x_t = path.x_t(x_0, noise, t)
    for own in (t, (t + 0.03).clamp(max=1)):
        velocity = path.velocity_of_clean(x_t, x_0, t, at=own)
        assert torch.allclose(velocity, path.velocity(x_0, noise, own), atol=1e-10)


def test_samples_of_a_gaussian_have_its_mean_and_spread():
    network, _ = network_of("linear")
    sampler = {"type": "heun", "steps": 60}
    found = thalweg.sample(network.float(), indices=range(600), sampler=sampler, batch_size=300).x
    assert float(found.mean()) == pytest.approx(MEAN, abs=0.02)
    assert float(found.std()) == pytest.approx(STD, rel=0.05)


def test_a_network_that_starts_at_zero_starts_at_the_velocity_of_empty_data():
    network = thalweg.compose(backbone=DIT, facts=FACTS, prediction="clean")
    x, t = (one.float() for one in inputs())
    assert torch.allclose(network.velocity(x, t, Condition()), x / each(t), atol=1e-6)


@pytest.mark.parametrize("guidance", ["cfg", "internal", "path_drop", "half", "autoguidance"])
def test_guidance_and_samplers_work(guidance, tmp_path):
    network = randomised(thalweg.compose(backbone=DIT, facts=FACTS, heads=[2], prediction="clean"), 0.05)
    if guidance == "autoguidance":
        save(tmp_path / "weak", thalweg.compose(backbone=DIT, facts=FACTS))
        guidance = {"type": "autoguidance", "network": str(tmp_path / "weak")}
    for sampler in ("euler", "euler_maruyama"):
        found = thalweg.sample(
            network, indices=[0, 1], labels=[1, 2], guidance=guidance, sampler={"type": sampler, "steps": 3}
        ).x
        assert torch.isfinite(found).all()
        assert float(found.std()) > 0


@pytest.mark.parametrize(
    "objective", ["velocity", "conflict_velocity", "acceleration", "weak_to_strong", "distillation"]
)
@pytest.mark.parametrize("detach", [True, False])
def test_objectives_read_velocities_and_move_their_read_outs(objective, detach):
    refined = {"refiner": {"type": "vera", "channels": [8]}, "branches": 2}
    network = randomised(
        thalweg.compose(
            backbone=DIT, facts=FACTS, heads=[1], detach_heads=detach, prediction="clean", **refined
        )
    )
    x, t = (one.float() for one in inputs(4))
    plan = Plan.at(x, torch.randn_like(x), torch.stack([t, t]), network.interpolant)
    built = build_component(component("objective", objective), network.facts)
    loss = Losses(network, {objective: built})(plan, Batch(x, Condition(torch.tensor([0, 1, 2, 0]))))["loss"]
    loss.backward()
    assert math.isfinite(loss.item())
    reached = {
        name.split(".")[0]
        for name, one in network.named_parameters()
        if one.grad is not None and one.grad.any()
    }
    assert reached & {"acceleration_readout", "velocity_readout", "intermediate_velocity", "velocity_heads"}


def test_it_is_saved_and_comes_back(tmp_path):
    network = randomised(thalweg.compose(backbone=DIT, facts=FACTS, prediction="clean"))
    save(tmp_path / "model", network)
    again = thalweg.load(tmp_path / "model")
    assert again.prediction == again.composition["prediction"] == "clean"
    x, t = (one.float() for one in inputs())
    assert torch.equal(again.velocity(x, t, Condition()), network.velocity(x, t, Condition()))


def test_a_network_given_in_place_of_the_saved_one_must_predict_the_same(tmp_path):
    network, _ = network_of("linear")
    save(tmp_path / "model", network)
    other = FlowNetwork(Posterior(network.interpolant), facts=FACTS)
    with pytest.raises(DataError, match="saved with prediction clean, and the network given has"):
        thalweg.load(tmp_path / "model", network=other)


def test_another_prediction_is_refused():
    with pytest.raises(ConfigError, match="prediction is 'noise'; it must be 'velocity' or 'clean'"):
        thalweg.compose(backbone=DIT, facts=FACTS, prediction="noise")
