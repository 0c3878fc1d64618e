"""Samplers by themselves: field and noise are enough, samples have any shape, answers are the known ones."""

import subprocess
import sys

import pytest
import torch

import thalweg_samplers
from samplers.gaussian import COSINE, LINEAR, orders
from samplers.mixture import Mixture
from thalweg.errors import ConfigError, DataError
from thalweg.interpolant import Interpolant
from thalweg_samplers import Dopri5, Euler, EulerMaruyama, Heun, Multistep, StochasticHeun, UniPC
from thalweg_samplers.dopri5 import Dopri5Config
from thalweg_samplers.euler import EulerConfig
from thalweg_samplers.euler_maruyama import EulerMaruyamaConfig
from thalweg_samplers.heun import HeunConfig

SHAPES = pytest.mark.parametrize("shape", [(), (2,), (3, 4, 5)], ids=["numbers", "points", "volumes"])
PATHS = pytest.mark.parametrize("path", [LINEAR, COSINE], ids=["linear", "cosine"])


def draws(count, shape, seed=0):
    return torch.randn(count, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@SHAPES
@PATHS
@pytest.mark.parametrize(
    ("sampler", "error"),
    [
        (Euler(steps=1000), 0.03),
        (Heun(steps=200), 0.005),
        (Dopri5(rtol=1e-7, atol=1e-7), 1e-5),
        (Multistep(steps=100), 0.01),
        (UniPC(steps=100), 0.01),
    ],
    ids=["euler", "heun", "dopri5", "multistep", "unipc"],
)
def test_a_mixture_of_gaussians_is_reached_sample_by_sample(sampler, error, path, shape):
    data, x_1 = Mixture.of(shape, path=path), draws(40, shape)
    x_0 = sampler(data.velocity, x_1, interpolant=path)
    assert x_0.shape == x_1.shape
    assert x_0.dtype == torch.float64
    assert (x_0 - data.flow(x_1)).abs().max() < error


@PATHS
@pytest.mark.parametrize(("sampler", "order"), [(Euler, 1), (Heun, 2)])
def test_orders_of_convergence_hold_for_points(sampler, order, path):
    data, x_1 = Mixture.of((2,), path=path), draws(30, (2,))
    errors = [
        (sampler(steps=steps)(data.velocity, x_1) - data.flow(x_1)).norm(dim=1).mean().item()
        for steps in (200, 400, 800)
    ]
    assert orders(errors) == pytest.approx([order, order], abs=0.15)


@SHAPES
@PATHS
def test_the_sde_ends_in_the_mixture(shape, path):
    data, count = Mixture.of(shape, path=path), 4000
    torch.manual_seed(3)
    x_0 = EulerMaruyama(steps=200)(data.velocity, draws(count, shape), interpolant=path)
    p = data.along(x_0)
    assert x_0.shape == (count, *shape)
    # Three standard errors of a share of a half, of a mean and of a deviation, and half a hundredth of bias.
    assert (p > 0).double().mean().item() == pytest.approx(0.5, abs=0.024)
    near = p.abs()
    assert near.mean().item() == pytest.approx(data.m, abs=0.02)
    assert near.std().item() == pytest.approx(data.s, abs=0.02)
    if shape:
        across = (x_0 - data._spread(p)).flatten(1)
        size = across.square().sum(1).mean().item() / (across.shape[1] - 1)
        assert size == pytest.approx(data.s**2, rel=0.08)


def test_what_is_left_out_is_a_normal_draw_and_the_linear_path():
    data, x_1 = Mixture.of((2,)), draws(50, (2,))
    torch.manual_seed(5)
    found = EulerMaruyama(steps=20)(data.velocity, x_1)
    torch.manual_seed(5)
    increments = [torch.randn_like(x_1) for _ in range(19)]
    assert torch.equal(EulerMaruyama(steps=20)(data.velocity, x_1, increments.__getitem__, LINEAR), found)
    assert not torch.equal(EulerMaruyama(steps=20)(data.velocity, x_1), found)


@pytest.mark.parametrize(
    "sampler", [Euler(), Heun(), Dopri5(), EulerMaruyama(), Multistep(), UniPC(), StochasticHeun()]
)
def test_float32_noise_and_a_float32_field_will_do(sampler):
    data, x_1 = Mixture.of((2,)), draws(20, (2,)).float()
    x_0 = sampler(lambda x, t: data.velocity(x, t).float(), x_1)
    assert x_0.dtype == torch.float64
    assert x_0.isfinite().all()


@pytest.mark.parametrize(
    ("sampler", "config"),
    [
        (Euler, EulerConfig),
        (Heun, HeunConfig),
        (Dopri5, Dopri5Config),
        (EulerMaruyama, EulerMaruyamaConfig),
        (Multistep, None),
        (UniPC, None),
        (StochasticHeun, None),
        (thalweg_samplers.ClassifierFree, None),
        (thalweg_samplers.Internal, None),
    ],
)
def test_defaults_are_those_of_the_config(sampler, config):
    config = (
        sys.modules[sampler.__module__].__dict__[f"{sampler.__name__}Config"] if config is None else config
    )
    made, stated = sampler(), config()
    for name in (field.name for field in config.__attrs_attrs__):
        if hasattr(made, name):
            assert getattr(made, name) == getattr(stated, name)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Euler(steps=0), r"steps: must be at least 1, got 0"),
        (lambda: Dopri5(rtol=0.0), r"rtol: must be above 0, got 0"),
        (lambda: EulerMaruyama(last=1.0), r"last: must be below 1, got 1"),
        (lambda: Multistep(ends=(0.2, 0.8)), r"ends: must be two times with 1 > first > last > 0"),
        (lambda: UniPC(steps=2, ends=(0.8, 0.2)), r"ends: needs at least 3 steps"),
        (lambda: UniPC(predictor_order=1), r"predictor_order: must be at least 2, got 1"),
        (lambda: thalweg_samplers.ClassifierFree(scale=-1.0), r"scale: must be at least 0, got -1"),
        (lambda: thalweg_samplers.Internal(interval=(0.7, 0.2)), r"interval: must be two times"),
        (lambda: thalweg_samplers.Internal(after=0), r"after: must be at least 1, got 0"),
        (lambda: thalweg_samplers.Autoguidance(3), "network is 3; give the weak network"),
    ],
)
def test_options_that_make_no_sense_are_named(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize(
    "sampler", [Euler(), Heun(), Dopri5(), EulerMaruyama(), Multistep(), UniPC(), StochasticHeun()]
)
def test_what_would_broadcast_is_refused(sampler):
    with pytest.raises(DataError, match=r"the field gives \(5, 5\) for x of \(5, 2\)|gives \(5, 1\)"):
        sampler(lambda x, t: x[:, :1], draws(5, (2,)))
    with pytest.raises(DataError, match=r"the field gives float for x"):
        sampler(lambda x, t: 0.0, draws(5, (2,)))


def test_increments_and_times_of_another_shape_are_refused():
    data, x_1 = Mixture.of((2,)), draws(5, (2,))
    with pytest.raises(DataError, match=r"the increments of step 0 have the shape \(5,\)"):
        EulerMaruyama()(data.velocity, x_1, lambda step: torch.zeros(5))
    path = Interpolant.named("linear")
    assert path.x_t(x_1, x_1, torch.rand(5)).shape == (5, 2)
    assert path.x_t(x_1[:, 0], x_1[:, 0], torch.rand(5)).shape == (5,)


def run(program):
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_names_come_late_and_plugins_without_torch():
    program = (
        "import sys, thalweg_samplers, thalweg_samplers.plugin; assert 'torch' not in sys.modules; "
        "assert 'Euler' in dir(thalweg_samplers); thalweg_samplers.Euler; assert 'torch' in sys.modules; "
        "print(thalweg_samplers.Nothing)"
    )
    last = run(program).stderr.strip().splitlines()[-1]
    assert last == "AttributeError: module 'thalweg_samplers' has no attribute 'Nothing'"


UNCHECKED = [
    ("Heun(steps=2.5)", "steps: expected an integer, got 2.5"),
    (
        "Euler()(lambda x, t: x, torch.tensor(1.0))",
        "x_1 is a single number; give noise of shape (N, ...)",
    ),
    ("Euler()(lambda x, t: x, [1.0])", "x_1 is a list; give noise, such as torch.randn(100, 2)"),
    ("Euler()(lambda x, t: x, torch.ones(2, dtype=torch.cfloat))", "x_1 is complex, and states are real"),
    ("Heun()(lambda x, t: 1j * x, torch.ones(2))", "the field gives complex velocities"),
    ("Euler()(3, torch.ones(2))", "the field is 3; give a function of x and t"),
    ("EulerMaruyama()(lambda x, t: x, torch.ones(2), interpolant='cosine')", "interpolant is 'cosine'"),
    ("Multistep(spacing='log')", "spacing: "),
    ("UniPC()(lambda x, t: x, torch.ones(2), interpolant='cosine')", "interpolant is 'cosine'"),
    ("EulerMaruyama()(lambda x, t: x, torch.ones(2), torch.ones(2))", "increments is a Tensor; give a"),
    ("EulerMaruyama()(lambda x, t: x, torch.ones(2), lambda step: None)", "an increment is None; give"),
    (
        "Dopri5()(lambda x, t: torch.nn.Linear(2, 2)(x), torch.ones(5, 2))",
        "the field does not take float64, in which samplers keep their state (",
    ),
    (
        "Interpolant.named('linear').x_t(torch.zeros(5, 2), torch.zeros(5, 2), torch.rand(5, 1))",
        "the times have the shape (5, 1) for samples of (5, 2); give one a sample",
    ),
    (
        "Interpolant.named('linear').x_t(torch.zeros(5, 2), torch.zeros(5, 1), torch.rand(5))",
        "samples of (5, 2) meet (5, 1); give both the same shape (N, ...)",
    ),
]


@pytest.fixture(scope="module")
def said():
    """What each call says, in a process of its own: the type checker that runs under tests would be first to
    complain."""
    program = f"""
import torch
from thalweg.interpolant import Interpolant
from thalweg_samplers import Dopri5, Euler, EulerMaruyama, Heun, Multistep, StochasticHeun, UniPC

for call in {[call for call, _ in UNCHECKED]}:
    try:
        eval(call)
    except Exception as error:
        print(type(error).__name__, str(error).splitlines()[-1])
    else:
        print("nothing")
"""
    done = run(program)
    assert done.returncode == 0, done.stderr
    return dict(zip([call for call, _ in UNCHECKED], done.stdout.splitlines(), strict=True))


@pytest.mark.parametrize(("call", "message"), UNCHECKED)
def test_what_no_type_checker_stops_is_told_in_words(call, message, said):
    assert message in said[call]


@pytest.mark.parametrize(
    "sampler", [Euler(2), Heun(2), Dopri5(), EulerMaruyama(2), Multistep(3), UniPC(3), StochasticHeun(2)]
)
@pytest.mark.parametrize("shape", [(0, 2), (3, 0)])
def test_nothing_is_drawn_of_nothing(sampler, shape):
    assert sampler(lambda x, t: x, torch.zeros(shape)).shape == shape
