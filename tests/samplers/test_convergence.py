"""The ODE samplers on a flow with a known solution, and against an independent integrator."""

import math

import pytest
import torch
from torchdiffeq import odeint

from samplers.gaussian import COSINE, LINEAR, Gaussian, no_increments, noise, orders
from thalweg.facts import Facts
from thalweg_samplers.dopri5 import Dopri5Config
from thalweg_samplers.dormand_prince import dormand_prince
from thalweg_samplers.euler import EulerConfig
from thalweg_samplers.heun import HeunConfig

FACTS = Facts(shape=(2, 3, 3))
PATHS = pytest.mark.parametrize("path", [LINEAR, COSINE], ids=["linear", "cosine"])


def solve(config, velocity, x_1):
    return config.build(FACTS)(velocity, x_1, no_increments, LINEAR)


def bent(x, t):
    """A field without symmetry in x or t."""
    time = t.view(-1, 1, 1, 1)
    return torch.sin(3 * x) * torch.cos(2 * time) + 0.5 * time * x


@PATHS
@pytest.mark.parametrize(("config", "order"), [(EulerConfig, 1), (HeunConfig, 2)])
def test_fixed_steps_converge_with_their_order(config, order, path):
    data, x_1 = Gaussian(path), noise(4)
    errors = [
        (solve(config(steps=steps), data.velocity, x_1) - data.flow(x_1)).abs().max().item()
        for steps in (80, 160, 320)
    ]
    assert orders(errors) == pytest.approx([order, order], abs=0.1)


def oracle_of_bent(x, start, stop):
    ends = torch.tensor([start, stop], dtype=torch.float64)
    options = {"method": "dopri5", "rtol": 1e-13, "atol": 1e-13}
    return odeint(lambda t, x: bent(x, t.expand(len(x))), x, ends, **options)[-1]


def test_dormand_prince_step_has_local_order_six_and_its_estimate_five():
    start, errors, estimates = noise(4), [], []

    def step(x, at, size):
        t = torch.full((4,), at, dtype=torch.float64)
        return dormand_prince(bent, x, bent(x, t), t, torch.full_like(t, size))

    for size in (0.04, 0.02, 0.01):
        fine = start
        for part in range(20):
            fine = step(fine, 0.9 - part * size / 20, size / 20).x
        trial = step(start, 0.9, size)
        errors.append((trial.x - fine).norm().item())
        estimates.append(trial.error.norm().item())
        end = torch.full((4,), 0.9 - size, dtype=torch.float64)
        torch.testing.assert_close(trial.slope, bent(trial.x, end))
    assert orders(errors) == pytest.approx([6, 6], abs=0.2)
    assert orders(estimates) == pytest.approx([5, 5], abs=0.4)


@PATHS
def test_dopri5_keeps_its_tolerance(path):
    data, x_1 = Gaussian(path), noise(4)
    for tolerance in (1e-3, 1e-5, 1e-7, 1e-9):
        x_0 = solve(Dopri5Config(rtol=tolerance, atol=tolerance), data.velocity, x_1)
        assert (x_0 - data.flow(x_1)).abs().max() < 10 * tolerance


def test_dopri5_error_falls_with_the_fifth_power_of_its_evaluations():
    x_1, errors, calls = noise(1), [], []
    exact = oracle_of_bent(x_1, 1.0, 0.0)
    for tolerance in (1e-9, 1e-10, 1e-11):
        times = []

        def counted(x, t, times=times):
            times.append(t.item())
            return bent(x, t)

        errors.append(
            (solve(Dopri5Config(rtol=tolerance, atol=tolerance), counted, x_1) - exact).norm().item()
        )
        calls.append(len(times))
        assert 0 <= min(times) <= max(times) <= 1
    slopes = [math.log(errors[i] / errors[i + 1]) / math.log(calls[i + 1] / calls[i]) for i in range(2)]
    assert slopes == pytest.approx([5, 5], abs=1)


def test_euler_equals_torchdiffeq():
    x_1 = noise(3)
    grid = torch.linspace(1, 0, 14, dtype=torch.float64)
    oracle = odeint(lambda t, x: bent(x, t.expand(3)), x_1, grid, method="euler")[-1]
    torch.testing.assert_close(solve(EulerConfig(steps=13), bent, x_1), oracle, rtol=0, atol=1e-13)


def test_heun_equals_torchdiffeq_up_to_its_last_step_which_is_eulers():
    x_1 = noise(3)
    grid = torch.linspace(1, 0, 14, dtype=torch.float64)
    before = odeint(lambda t, x: bent(x, t.expand(3)), x_1, grid[:-1], method="heun2")[-1]
    oracle = before - grid[-2] * bent(before, grid[-2].expand(3))
    torch.testing.assert_close(solve(HeunConfig(steps=13), bent, x_1), oracle, rtol=0, atol=1e-13)


def test_dopri5_equals_torchdiffeq_within_tolerance():
    x_1 = noise(3)
    found = solve(Dopri5Config(rtol=1e-9, atol=1e-9), bent, x_1)
    torch.testing.assert_close(found, oracle_of_bent(x_1, 1.0, 0.0), rtol=0, atol=1e-7)


@pytest.mark.parametrize(("config", "calls"), [(EulerConfig(steps=1), 1), (HeunConfig(steps=1), 1)])
def test_one_step_is_one_euler_step(config, calls):
    x_1, seen = noise(2), []

    def field(x, t):
        seen.append(t)
        return bent(x, t)

    x_0 = solve(config, field, x_1)
    assert len(seen) == calls
    assert torch.equal(x_0, x_1 - bent(x_1, torch.ones(2, dtype=torch.float64)))


def test_heun_asks_for_no_velocity_at_zero():
    seen = []

    def field(x, t):
        seen.extend(t.tolist())
        return bent(x, t)

    solve(HeunConfig(steps=5), field, noise(1))
    assert len(seen) == 9
    assert min(seen) > 0.19
