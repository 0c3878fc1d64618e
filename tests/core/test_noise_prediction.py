"""Velocities of networks that predict noise: exact for Gaussian data, finite at both ends."""

import pytest
import torch

import thalweg
from thalweg.errors import ConfigError
from thalweg.interpolant import Interpolant
from thalweg.noise_prediction import NoisePrediction
from thalweg.summary import summarise

SPREAD = 0.5  # of the data, which are N(0, SPREAD^2)


@pytest.fixture(scope="module", params=["linear", "scaled_linear"])
def noise(request):
    return NoisePrediction(1e-4, 0.02, 1000, request.param)


def signal_at(noise, step):
    """a^2 at a step that need not be whole: log(b / a) lies on a line between two of them."""
    table = noise.log_ratios.double()
    before = int(min(step, 998))
    ratio = (table[before] + (step - before) * (table[before + 1] - table[before])).exp()
    return float(1 / (1 + ratio**2))


@pytest.mark.parametrize("path", ["linear", "cosine"])
def test_the_velocity_of_gaussian_data_is_exact(noise, path):
    path = Interpolant.named(path)
    lowest, highest = path.time_of_ratio(noise.log_ratios[[0, -1]].double().exp()).tolist()
    x = torch.linspace(-3, 3, 7, dtype=torch.float64)[:, None]
    for t in torch.linspace(lowest + 1e-4, highest - 1e-4, 9, dtype=torch.float64):
        times = t.expand(7)
        level = noise.level(x, times, path)
        signal = torch.tensor([signal_at(noise, float(one)) for one in level.step], dtype=torch.float64)[
            :, None
        ]
        # E[e | z] of z = a x_0 + b e.
        predicted = (1 - signal).sqrt() * level.x / (signal * SPREAD**2 + 1 - signal)
        alpha, sigma = path.schedule.alpha(t), path.schedule.sigma(t)
        variance = alpha**2 * SPREAD**2 + sigma**2
        slope = path.schedule.d_alpha(t) * alpha * SPREAD**2 + path.schedule.d_sigma(t) * sigma
        found = noise.velocity(predicted, x, times, path)
        assert torch.allclose(found, slope / variance * x, rtol=1e-6, atol=1e-6)


def test_the_schedule_is_that_of_a_ddpm():
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    kept = (1 - betas).cumprod(0)
    found = NoisePrediction(1e-4, 0.02, 1000).log_ratios.double()
    assert torch.allclose(found, 0.5 * ((1 - kept) / kept).log(), atol=1e-6)
    stable = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    kept = (1 - stable).cumprod(0)
    found = NoisePrediction(0.00085, 0.012, 1000, "scaled_linear").log_ratios.double()
    assert torch.allclose(found, 0.5 * ((1 - kept) / kept).log(), atol=1e-6)


@pytest.mark.parametrize("path", ["linear", "cosine"])
def test_steps_and_times_meet(noise, path):
    path = Interpolant.named(path)
    steps = torch.tensor([0.0, 0.5, 20.0, 499.25, 998.5, 999.0], dtype=torch.float64)
    times = noise.time_of(steps, path)
    assert torch.allclose(noise.level(torch.zeros(6, 1), times, path).step, steps, atol=1e-6)


@pytest.mark.parametrize("path", ["linear", "cosine"])
def test_outside_of_the_steps_it_is_finite_and_continuous(noise, path):
    path = Interpolant.named(path)
    edges = noise.time_of(torch.tensor([0.0, 999.0], dtype=torch.float64), path)
    x = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def velocity(t):
        times = torch.full((4,), float(t), dtype=torch.float64)
        z, step = noise.level(x, times, path)
        # Any smooth function of both.
        return noise.velocity((z + step[:, None] / 1000).sin(), x, times, path)

    for edge in edges:
        assert torch.allclose(velocity(edge - 1e-9), velocity(edge + 1e-9), rtol=1e-4, atol=1e-4)
    predicted = torch.randn(4, 3, requires_grad=True)
    for t in (0.0, 1.0):
        times = torch.full((4,), t)
        found = noise.velocity(predicted, x.float(), times, path)
        [slope] = torch.autograd.grad(found.square().sum(), predicted)
        assert found.isfinite().all()
        assert slope.isfinite().all()


def test_branches_are_refused_and_heads_read_velocities():
    backbone = {"type": "dit", "width": 16, "heads": 2, "depth": 2, "betas": (1e-4, 0.02)}
    facts = thalweg.Facts(shape=(2, 4, 4))
    with pytest.raises(ConfigError, match="predicts noise has one branch"):
        thalweg.compose(backbone=backbone, facts=facts, refiner="vera", branches=2)
    with pytest.raises(ConfigError, match="reads no clean data; set prediction to velocity"):
        thalweg.compose(backbone=backbone, facts=facts, prediction="clean")
    network = thalweg.compose(backbone=backbone, facts=facts, heads=[1])
    x, t = torch.randn(3, 2, 4, 4), torch.tensor([0.1, 0.5, 0.9])
    prediction = network(x, t)
    # Read-outs begin at zero: as a velocity that is zero, as noise that is -x / (1 - t).
    assert torch.equal(prediction.heads[1], torch.zeros_like(x))
    assert torch.allclose(prediction.velocities[-1], -x / (1 - t[:, None, None, None]), rtol=1e-5)
    assert summarise(network).parameters == sum(one.numel() for one in network.parameters())


@pytest.mark.parametrize("betas", [(0.0, 0.1), (0.2, 0.1), (0.1, 1.0)])
def test_betas_that_are_no_schedule_are_refused(betas):
    with pytest.raises(ConfigError, match="must rise from the first to the last"):
        thalweg.compose(backbone={"type": "dit", "betas": betas}, facts=thalweg.Facts(shape=(2, 4, 4)))
