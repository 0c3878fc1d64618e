"""Heun's method for the reverse-time SDE: its weak and strong order, exactly, and its steps one by one."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from samplers.gaussian import COSINE, LINEAR, Gaussian, noise, orders
from thalweg_samplers import StochasticHeun

PATHS = pytest.mark.parametrize("path", [LINEAR, COSINE], ids=["linear", "cosine"])


def responses(path, data, steps, last):
    """Of what the method draws: its mean, and its response to x_1 and to each of the increments.

    On Gaussian data the method is affine in all of them, so no sampling is needed.
    """
    inputs = torch.cat([torch.eye(steps), torch.zeros(1, steps)]).double()[..., None]
    sampler = StochasticHeun(steps, last)
    out = sampler(data.velocity, inputs[:, 0], lambda step: inputs[:, step + 1], path).flatten()
    return out[-1].item(), out[:-1] - out[-1]


@PATHS
def test_mean_and_variance_converge_weakly_with_order_two(path):
    data = Gaussian(path)
    found = [responses(path, data, steps, last=1 / steps) for steps in (25, 50, 100)]
    variances = [response.square().sum().item() for _, response in found]
    assert orders([abs(variance - data.s**2) for variance in variances]) == pytest.approx([2, 2], abs=0.12)
    if path is COSINE:
        means = [abs(mean - data.mu) for mean, _ in found]
        assert orders(means) == pytest.approx([2, 2], abs=0.12)
    else:
        # There the mean moves on a straight line, which a step follows without error.
        assert [mean for mean, _ in found] == pytest.approx([data.mu] * 3, abs=1e-12)


@PATHS
def test_single_paths_converge_strongly_with_order_one(path):
    data, last, fine = Gaussian(path), 0.04, 160

    def to_fine(steps):
        """The response to the increments of the finest grid, of which those of a coarse one are sums."""
        response = responses(path, data, steps + 1, last)[1]
        times = np.linspace(1, last, fine + 1)
        scales = torch.from_numpy(np.sqrt(times[:-1] ** 2 - times[1:] ** 2)).view(steps, -1)
        shares = scales / scales.norm(dim=1, keepdim=True)
        return torch.cat([response[:1], (response[1:, None] * shares).flatten()])

    paths = [to_fine(steps) for steps in (20, 40, 80, 160)]
    # Of the difference of two grids the mean square over all noise is the square of this norm.
    gaps = [(coarse - finer).norm().item() for coarse, finer in pairwise(paths)]
    assert orders(gaps) == pytest.approx([1, 1], abs=0.2)


def test_many_samples_have_the_moments_that_the_method_has():
    data, count = Gaussian(LINEAR), 20_000
    generator = torch.Generator().manual_seed(1)

    def draw(_=0):
        return torch.randn(count, dtype=torch.float64, generator=generator)

    x_0 = StochasticHeun(12)(data.velocity, draw(), draw)
    mean, response = responses(LINEAR, data, 12, 0.04)
    variance = response.square().sum().item()
    # Five standard errors of a mean and of a variance of Gaussians.
    assert abs(x_0.mean().item() - mean) < 5 * math.sqrt(variance / count)
    assert abs(x_0.var().item() - variance) < 5 * variance * math.sqrt(2 / count)


def test_recorded_increments_are_replayed_by_the_formula():
    steps, last = 6, 0.1
    x_1, wiener = noise(3, (2,)), noise(5 * 3, (2,), seed=1).view(5, 3, 2)
    asked, seen = [], []

    def bent(x, t):
        seen.append(t[0].item())
        return torch.sin(3 * x) * torch.cos(2 * t).view(-1, 1)

    def increments(step):
        asked.append(step)
        return wiener[step]

    found = StochasticHeun(steps, last)(bent, x_1, increments, LINEAR)

    def drift(x, t):
        v = np.sin(3 * x) * np.cos(2 * t)
        return v + (x + (1 - t) * v)  # on the linear path w/2 score = -E[x_1 | x_t]

    times, x = np.linspace(1, last, steps), x_1.numpy()
    for step in range(steps - 1):
        now, then = times[step], times[step + 1]
        n = np.sqrt(now**2 - then**2) * wiener[step].numpy()
        slope = drift(x, now)
        x = x - (now - then) / 2 * (slope + drift(x - (now - then) * slope + n, then)) + n
    x = x - last * np.sin(3 * x) * np.cos(2 * last)
    np.testing.assert_allclose(found.numpy(), x, rtol=0, atol=1e-12)
    assert asked == [0, 1, 2, 3, 4]
    between = [t for t in times[1:-1] for _ in range(2)]
    assert seen == pytest.approx([1, *between, last, last])


def test_both_slopes_of_a_step_are_of_the_field_in_which_it_begins():
    sides = []

    class Field:
        breaks = (0.5,)

        def __call__(self, x, t):
            sides.append(("its own", t[0].item()))
            return -x

        def during(self, side):
            def field(x, t):
                sides.append((side[0].item(), t[0].item()))
                return -x

            return field

    StochasticHeun(3, 0.2)(Field(), noise(1), lambda step: noise(1, seed=step))
    assert sides == [
        (pytest.approx(side) if side != "its own" else side, pytest.approx(t))
        for side, t in [(1, 1), (1, 0.6), (0.6, 0.6), (0.6, 0.2), ("its own", 0.2)]
    ]
