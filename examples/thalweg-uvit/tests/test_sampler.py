import math

import pytest
import torch

from thalweg.facts import Facts
from thalweg_authoring import ConformanceSuite
from thalweg_authoring.gaussian import COSINE, LINEAR, Gaussian, orders
from thalweg_uvit.sampler import AdamsBashforthConfig


class TestAdamsBashforth(ConformanceSuite):
    """Every rule of the kind is a test."""

    kind = "sampler"
    name = "adams_bashforth"


def sampler(steps):
    return AdamsBashforthConfig(steps=steps).build(Facts(shape=(1, 2, 2)))


def drawn(field, x_1, steps, interpolant=LINEAR):
    return sampler(steps)(field, x_1, lambda step: x_1, interpolant)


X_1 = torch.randn(8, 1, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("interpolant", [LINEAR, COSINE], ids=["linear", "cosine"])
def test_the_error_falls_with_the_square_of_the_step(interpolant):
    data = Gaussian(interpolant)
    errors = [
        float((drawn(data.velocity, X_1, n, interpolant) - data.flow(X_1)).norm()) for n in (32, 64, 128, 256)
    ]
    assert orders(errors)[-1] == pytest.approx(2, abs=0.15)


def test_a_step_costs_one_evaluation():
    calls = []

    def field(x, t):
        calls.append(float(t[0]))
        return -x

    drawn(field, X_1, 10)
    assert len(calls) == 11
    assert calls[0] == 1.0
    assert min(calls) == pytest.approx(0.1)


class Jumping:
    """dx/dt = x above t = 0.3 and 2 x below, so that x_0 = x_1 exp(-0.7 - 2 * 0.3)."""

    breaks = (0.3,)

    def __call__(self, x, t):
        return torch.where(t.view(-1, 1, 1, 1) >= 0.3 - 1e-9, 1.0, 2.0) * x

    def during(self, t):
        factor = 1.0 if float(t[0]) > 0.3 + 1e-9 else 2.0
        return lambda x, _: factor * x


def test_it_keeps_its_order_over_a_jump_of_the_field():
    exact = X_1 * math.exp(-1.3)
    errors = [float((drawn(Jumping(), X_1, n) - exact).norm()) for n in (40, 80, 160)]
    assert orders(errors)[-1] == pytest.approx(2, abs=0.15)
