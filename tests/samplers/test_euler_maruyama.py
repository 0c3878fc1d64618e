"""The SDE sampler: the protocol step by step, and the distribution it ends in."""

import math

import numpy as np
import pytest
import torch

from samplers.gaussian import COSINE, LINEAR, Gaussian, noise, orders
from thalweg.facts import Facts
from thalweg_samplers.euler_maruyama import EulerMaruyamaConfig

FACTS = Facts(shape=(1, 1, 1))
PATHS = pytest.mark.parametrize("path", [LINEAR, COSINE], ids=["linear", "cosine"])


def bent(x, t):
    time = t.view(-1, 1, 1, 1)
    return torch.sin(3 * x) * torch.cos(2 * time) + 0.5 * time * x


def moments(path, data, steps, last):
    """Mean and variance of what the method draws, exactly.

    On Gaussian data the method is affine in x_1 and the increments, so its response to each of them
    alone gives both moments without any sampling.
    """
    responses = torch.eye(steps, dtype=torch.float64)
    zero = torch.zeros(1, steps, dtype=torch.float64)
    inputs = torch.cat([responses, zero])[..., None, None, None]
    sampler = EulerMaruyamaConfig(steps=steps, last=last).build(FACTS)
    out = sampler(data.velocity, inputs[:, 0], lambda step: inputs[:, step + 1], path).flatten()
    mean = out[-1]
    return mean.item(), (out[:-1] - mean).square().sum().item()


@PATHS
def test_the_variance_converges_weakly_with_order_one(path):
    data = Gaussian(path)
    found = [moments(path, data, steps, last=1 / steps)[1] for steps in (200, 400, 800)]
    assert orders([abs(variance - data.s**2) for variance in found]) == pytest.approx([1, 1], abs=0.1)


def test_the_mean_converges_with_order_one_and_is_exact_on_the_straight_path():
    data = Gaussian(COSINE)
    found = [moments(COSINE, data, steps, last=1 / steps)[0] for steps in (100, 200, 400)]
    assert orders([abs(mean - data.mu) for mean in found]) == pytest.approx([1, 1], abs=0.1)
    # There the mean moves on a straight line, which Euler's method follows without error.
    straight = Gaussian(LINEAR)
    assert moments(LINEAR, straight, 10, last=0.04)[0] == pytest.approx(straight.mu, abs=1e-12)


@PATHS
def test_the_papers_protocol_draws_the_data(path):
    data = Gaussian(path)
    mean, variance = moments(path, data, steps=250, last=0.04)
    assert mean == pytest.approx(data.mu, rel=0.02)
    assert math.sqrt(variance) == pytest.approx(data.s, rel=0.05)


def test_many_samples_have_the_moments_that_the_method_has():
    data, count = Gaussian(LINEAR), 20_000
    generator = torch.Generator().manual_seed(1)

    def draw(_=0):
        return torch.randn(count, 1, 1, 1, dtype=torch.float64, generator=generator)

    x_0 = EulerMaruyamaConfig(steps=40).build(FACTS)(data.velocity, draw(), draw, LINEAR)
    mean, variance = moments(LINEAR, data, steps=40, last=0.04)
    # Five standard errors of a mean and of a variance of Gaussians.
    assert abs(x_0.mean().item() - mean) < 5 * math.sqrt(variance / count)
    assert abs(x_0.var().item() - variance) < 5 * variance * math.sqrt(2 / count)


def test_recorded_increments_are_replayed_as_the_protocol_says():
    steps, last = 9, 0.04
    x_1, wiener = noise(3).float(), noise(3 * (steps - 1), seed=1).float().view(steps - 1, 3, 2, 3, 3)
    asked = []

    def increments(step):
        asked.append(step)
        return wiener[step]

    found = EulerMaruyamaConfig(steps=steps, last=last).build(FACTS)(bent, x_1, increments, LINEAR)

    grid = [*np.linspace(1, last, steps), 0.0]
    x = x_1.numpy().astype(np.float64)
    for step in range(steps):
        t, dt = grid[step], grid[step + 1] - grid[step]
        v = np.sin(3 * x) * np.cos(2 * t) + 0.5 * t * x
        score = ((1 - t) / (-1) * v - x) / (t**2 + (1 - t) * t)
        x = x + (v - 0.5 * (2 * t) * score) * dt
        if step < steps - 1:
            x = x + np.sqrt(2 * t * abs(dt)) * wiener[step].numpy().astype(np.float64)
    assert asked == list(range(steps - 1))
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), x, rtol=0, atol=1e-12)


def test_each_step_is_one_evaluation_between_one_and_last():
    seen = []

    def field(x, t):
        seen.append(t[0].item())
        return bent(x, t)

    EulerMaruyamaConfig(steps=4, last=0.1).build(FACTS)(field, noise(1), lambda step: noise(1), LINEAR)
    assert seen == pytest.approx([1.0, 0.7, 0.4, 0.1], abs=1e-15)
    assert seen[-1] == 0.1
