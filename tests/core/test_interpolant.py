"""The conversions along the path: against closed forms, against autograd, and there and back."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import thalweg
from samplers.gaussian import COSINE, LINEAR, Gaussian, noise
from thalweg.composition import interpolant_of, recorded_interpolant
from thalweg.config import component
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.interpolants.cosine import Cosine, CosineConfig
from thalweg.planning import draw_plan
from thalweg.plugins import build_component
from thalweg.types import Batch, Condition


class Parabola:
    """alpha = 1 - t^2, sigma = t: a stranger's path, whose determinant is 1 + t^2."""

    def alpha(self, t):
        return 1 - t * t

    def sigma(self, t):
        return t

    def d_alpha(self, t):
        return -2 * t

    def d_sigma(self, t):
        return torch.ones_like(t)

    def time_of_ratio(self, s):
        return 2 * s / (1 + (1 + 4 * s * s).sqrt())


PARABOLA = Interpolant(Parabola())
FACTS = Facts(shape=(2, 4, 4))
PATHS = pytest.mark.parametrize("path", [LINEAR, COSINE, PARABOLA], ids=["linear", "cosine", "parabola"])
INNER = torch.tensor([0.03, 0.3, 0.5, 0.77, 0.98], dtype=torch.float64)
any_path = st.sampled_from([LINEAR, COSINE, PARABOLA])
inner_time = st.floats(0.01, 0.99)
value = st.floats(-10, 10)


def point(number):
    return torch.full((1, 1, 1, 1), number, dtype=torch.float64)


def at(t):
    return torch.tensor([t], dtype=torch.float64)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@PATHS
def test_the_path_begins_at_the_data_and_ends_at_the_noise(path):
    clean, white = noise(2), noise(2, seed=1)
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    found = path.x_t(clean, white, ends)
    close(found[0], clean[0])
    close(found[1], white[1])


def test_the_linear_path_and_its_velocity_are_the_papers():
    clean, white = noise(5), noise(5, seed=1)
    t = INNER.view(-1, 1, 1, 1)
    assert torch.equal(LINEAR.x_t(clean, white, INNER), (1 - t) * clean + t * white)
    assert torch.equal(LINEAR.velocity(clean, white, INNER), white - clean)


def test_the_cosine_path_keeps_the_variance():
    alpha, sigma = COSINE.schedule.alpha(INNER), COSINE.schedule.sigma(INNER)
    close(alpha**2 + sigma**2, torch.ones_like(INNER))
    close(alpha, torch.cos(math.pi / 2 * INNER))


@PATHS
def test_the_velocity_is_the_derivative_of_the_path(path):
    clean, white = noise(1), noise(1, seed=1)
    for t in INNER:
        derivative = torch.autograd.functional.jacobian(
            lambda time: path.x_t(clean, white, time), t.view(1), vectorize=True
        )
        close(path.velocity(clean, white, t.view(1)), derivative[..., 0])


@PATHS
def test_score_and_posterior_of_a_gaussian_are_exact(path):
    data, x = Gaussian(path), noise(5)
    velocity = data.velocity(x, INNER)
    close(path.score(x, velocity, INNER), data.score(x, INNER))
    close(path.clean(x, velocity, INNER), data.posterior_clean(x, INNER))
    close(path.noise(x, velocity, INNER), data.posterior_noise(x, INNER))
    close(path.velocity_of_score(x, data.score(x, INNER), INNER), velocity)
    close(path.velocity_of_clean(x, data.posterior_clean(x, INNER), INNER), velocity)
    close(path.velocity_of_noise(x, data.posterior_noise(x, INNER), INNER), velocity)


@PATHS
def test_the_score_is_the_gradient_of_the_log_density(path):
    data, x = Gaussian(path), noise(5).requires_grad_()
    _, _, mean, variance = data._at(INNER, x)
    log_density = -((x - mean) ** 2) / (2 * variance)
    gradient = torch.autograd.grad(log_density.sum(), x)[0]
    x = x.detach()
    close(path.score(x, data.velocity(x, INNER), INNER), gradient)


@given(any_path, inner_time, value, value)
def test_clean_and_noise_come_back_from_x_and_velocity(path, t, clean, white):
    clean, white, t = point(clean), point(white), at(t)
    x, velocity = path.x_t(clean, white, t), path.velocity(clean, white, t)
    close(path.clean(x, velocity, t), clean)
    close(path.noise(x, velocity, t), white)


@given(any_path, inner_time, value, value)
def test_a_velocity_comes_back_from_each_of_its_other_forms(path, t, x, velocity):
    x, velocity, t = point(x), point(velocity), at(t)
    back = [
        path.velocity_of_score(x, path.score(x, velocity, t), t),
        path.velocity_of_noise(x, path.noise(x, velocity, t), t),
        path.velocity_of_clean(x, path.clean(x, velocity, t), t),
    ]
    for found in back:
        torch.testing.assert_close(found, velocity, rtol=1e-9, atol=1e-8)


@given(any_path, inner_time, value, value)
def test_clean_and_noise_of_any_velocity_make_up_x(path, t, x, velocity):
    x, velocity, t = point(x), point(velocity), at(t)
    close(path.x_t(path.clean(x, velocity, t), path.noise(x, velocity, t), t), x)


@given(any_path, st.floats(1e-3, 1e3))
def test_time_of_ratio_is_where_noise_stands_to_data_as_told(path, ratio):
    s = at(ratio)
    t = path.time_of_ratio(s)
    assert 0 < t.item() < 1
    torch.testing.assert_close(path.schedule.sigma(t) / path.schedule.alpha(t), s, rtol=1e-9, atol=0)


@PATHS
def test_conversions_at_the_ends_that_exist_are_finite(path):
    x, velocity = noise(2), noise(2, seed=1)
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    close(path.clean(x, velocity, ends)[0], x[0])
    close(path.noise(x, velocity, ends)[1], x[1])
    # At t = 1 nothing is known of the data: the score is that of N(0, I).
    close(path.score(x[1:], velocity[1:], ends[1:]), -x[1:])


@PATHS
def test_the_dtype_of_x_is_kept_whatever_the_times_are(path):
    x, velocity = noise(5).float(), noise(5, seed=1).float()
    for convert in (path.clean, path.noise, path.score, path.x_t, path.velocity):
        assert convert(x, velocity, INNER).dtype == torch.float32


def test_an_unknown_name_is_refused():
    with pytest.raises(ConfigError, match="no interpolant 'sine' here; take 'linear' or 'cosine'"):
        Interpolant.named("sine")
    with pytest.raises(ConfigError, match=r"unknown interpolant 'sine'.*cosine, linear"):
        interpolant_of("sine", FACTS)


@PATHS
@pytest.mark.parametrize("shape", [(2,), (3, 5), (2, 4, 4), (2, 3, 4, 5), ()])
def test_data_of_any_shape_lie_on_it(path, shape):
    generator = torch.Generator().manual_seed(0)
    clean, white = torch.randn(2, 5, *shape, generator=generator, dtype=torch.float64)
    x, velocity = path.x_t(clean, white, INNER), path.velocity(clean, white, INNER)
    assert x.shape == velocity.shape == (5, *shape)
    for n, t in enumerate(INNER):
        close(x[n], path.schedule.alpha(t) * clean[n] + path.schedule.sigma(t) * white[n])
    close(path.clean(x, velocity, INNER), clean)
    close(path.noise(x, velocity, INNER), white)
    close(
        path.score(x, velocity, INNER),
        path.score(
            x.flatten()[:, None], velocity.flatten()[:, None], INNER.repeat_interleave(x[0].numel())
        ).view(x.shape),
    )


def test_every_way_to_say_which_path():
    for stated in ("cosine", {"type": "cosine"}, CosineConfig(), Cosine(), COSINE):
        assert type(interpolant_of(stated, FACTS).schedule) is Cosine
        assert recorded_interpolant(stated) == "cosine"
    assert interpolant_of(COSINE, FACTS) is COSINE
    assert recorded_interpolant(Parabola()) == {"object": f"{__name__}:Parabola"}


def test_a_network_on_a_path_of_ones_own():
    network = thalweg.compose(
        backbone={"type": "dit", "width": 16, "depth": 2, "heads": 2, "patch": 2},
        facts=FACTS,
        interpolant=Parabola(),
    )
    assert isinstance(network.interpolant.schedule, Parabola)
    assert network.composition["interpolant"] == {"object": f"{__name__}:Parabola"}
    plan = draw_plan(
        build_component(component("planner", "branch_times"), network.facts),
        Batch(noise(3), Condition()),
        torch.Generator().manual_seed(0),
        network.interpolant,
    )
    t = plan.times[0].view(-1, 1, 1, 1)
    close(plan.velocity, -2 * t.double() * plan.clean + plan.noise)
