"""Every sampler, on fields of which everything is known."""

import attrs
import pytest
import torch

from contracts.catalogue import FACTS, draws, names
from samplers.gaussian import COSINE, LINEAR, Gaussian
from thalweg.config import component
from thalweg.randomness import SampleNoise

SHAPE = (3, 5, 7)
EVERY = pytest.mark.parametrize("name", names("sampler"))
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def built(name, **options):
    return component("sampler", {"type": name, **options}).build(FACTS)


class Increments:
    """N(0, I) draws, and a record of the steps that they were asked for."""

    def __init__(self, shape):
        self.shape, self.steps = shape, []

    def __call__(self, step):
        self.steps.append(step)
        return draws(*self.shape, seed=1000 + step)


def stochastic(name):
    increments = Increments((1, *SHAPE))
    built(name)(lambda x, t: -x, draws(1, *SHAPE), increments, LINEAR)
    return bool(increments.steps)


@EVERY
@DTYPES
def test_a_constant_velocity_is_followed_to_the_end(name, dtype):
    x_1, v = draws(2, *SHAPE, dtype=dtype), draws(2, *SHAPE, seed=1).double()
    increments = Increments(x_1.shape)
    x_0 = built(name)(lambda x, t: v, x_1, increments, LINEAR)
    assert x_0.shape == x_1.shape
    # The state is kept in float64 whatever the noise comes in.
    assert (x_0.dtype, x_0.device) == (torch.float64, x_1.device)
    assert torch.isfinite(x_0).all()
    if not increments.steps:
        torch.testing.assert_close(x_0, x_1.double() - v, rtol=0, atol=1e-12)


@EVERY
@pytest.mark.parametrize("interpolant", [LINEAR, COSINE], ids=["linear", "cosine"])
def test_noise_becomes_data(name, interpolant):
    data = Gaussian(interpolant, mu=0.7, s=0.4)
    x_1 = draws(256, 1, 8, 8, dtype=torch.float64)
    x_0 = built(name)(data.velocity, x_1, Increments(x_1.shape), interpolant)
    # 16,384 draws: three standard errors of the mean are 0.01, and of the deviation 0.007.
    assert float(x_0.mean()) == pytest.approx(data.mu, abs=0.03)
    assert float(x_0.std()) == pytest.approx(data.s, abs=0.03)


@EVERY
def test_increments_are_asked_for_in_order(name):
    increments = Increments((2, *SHAPE))
    built(name)(lambda x, t: -x, draws(2, *SHAPE), increments, LINEAR)
    assert increments.steps == list(range(len(increments.steps)))


@EVERY
def test_times_are_float64_on_the_cpu_one_per_sample_and_within_the_unit_interval(name):
    seen = []

    def field(x, t):
        seen.append(t.clone())
        assert (x.dtype, tuple(x.shape)) == (torch.float64, (2, *SHAPE))
        return -x

    built(name)(field, draws(2, *SHAPE), Increments((2, *SHAPE)), LINEAR)
    assert {(t.dtype, t.device.type, tuple(t.shape)) for t in seen} == {(torch.float64, "cpu", (2,))}
    times = torch.stack(seen)
    assert float(times.max()) == 1.0
    assert float(times.min()) >= -1e-12


@EVERY
def test_a_sample_does_not_depend_on_its_neighbours(name):
    strengths = torch.tensor([0.1, 1.0, 5.0, 0.5]).double()

    def drawn(rows):
        noise = SampleNoise(7, rows, SHAPE)
        mine = strengths[rows].view(-1, 1, 1, 1)
        return built(name)(
            lambda x, t: -mine * x.sin() * (1 + t.view(-1, 1, 1, 1)),
            noise.initial(),
            noise.increments,
            LINEAR,
        )

    whole = drawn([0, 1, 2, 3])
    for rows in ([0], [2], [3, 1]):
        assert torch.equal(drawn(rows), whole[rows])


@EVERY
def test_neither_the_noise_nor_the_global_generator_is_touched(name):
    x_1 = draws(2, *SHAPE)
    kept, state = x_1.clone(), torch.get_rng_state()
    sampler = built(name)
    first, second = (sampler(lambda x, t: -x, x_1, Increments(x_1.shape), LINEAR) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(x_1, kept)
    assert torch.equal(torch.get_rng_state(), state)


@EVERY
def test_more_steps_come_nearer(name):
    if "steps" not in {field.name for field in attrs.fields(type(component("sampler", name)))}:
        pytest.skip("it chooses its steps itself")
    if stochastic(name):
        pytest.skip("it follows no single path")
    data, x_1 = Gaussian(LINEAR, s=0.4), draws(4, *SHAPE, dtype=torch.float64)
    errors = []
    for steps in (8, 32):
        x_0 = built(name, steps=steps)(data.velocity, x_1, Increments(x_1.shape), LINEAR)
        errors.append(float((x_0 - data.flow(x_1)).norm()))
    assert errors[1] < errors[0] / 3
