"""``thalweg.sample`` of a plain function, in any shape."""

import subprocess
import sys

import pytest
import torch
from torch import nn

import thalweg
from samplers.gaussian import COSINE
from samplers.mixture import Mixture
from thalweg.errors import ConfigError, DataError
from thalweg.randomness import SampleNoise
from thalweg.types import Query
from thalweg_samplers import ClassifierFree, Dopri5, Euler, EulerMaruyama, Heun

SAMPLERS = pytest.mark.parametrize(
    ("sampler", "error"), [(Euler(steps=1000), 0.05), (Heun(steps=200), 0.01), (Dopri5(), 0.01)]
)


@SAMPLERS
@pytest.mark.parametrize("shape", [(2,), (1,), (3, 4), (2, 3, 4, 5)])
def test_a_function_is_followed_to_the_known_answer(sampler, error, shape):
    data = Mixture.of(shape)
    drawn = thalweg.sample(
        lambda x, t: data.velocity(x.double(), t), shape=shape, indices=range(10), sampler=sampler, seed=4
    )
    assert drawn.x.shape == (10, *shape)
    assert drawn.x.dtype == torch.float32
    x_1 = SampleNoise(4, range(10), shape).initial().double()
    assert (drawn.x - data.flow(x_1)).abs().max() < error


def test_the_sde_of_a_function_takes_noise_by_index():
    data = Mixture.of((2,), path=COSINE)

    def drawn(indices):
        return thalweg.sample(
            data.velocity,
            shape=(2,),
            indices=indices,
            sampler=EulerMaruyama(steps=100),
            interpolant="cosine",
            batch_size=1000,
        ).x

    whole = drawn(range(2000))
    assert torch.equal(drawn([7, 3]), whole[[7, 3]])
    near = data.along(whole).abs()
    assert near.mean().item() == pytest.approx(data.m, abs=0.03)
    assert near.std().item() == pytest.approx(data.s, abs=0.03)


def test_a_module_of_points_is_evaluated_without_gradients_where_it_is():
    class Field(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(3, 16), nn.SiLU(), nn.Dropout(0.5), nn.Linear(16, 2))

        def forward(self, x, t):
            assert not self.training
            return self.layers(torch.cat([x, t.unsqueeze(1)], dim=1))

    field = Field()
    first, second = (
        thalweg.sample(field, shape=(2,), indices=range(5), sampler=Euler(3), precision="32-true")
        for _ in range(2)
    )
    assert torch.equal(first.x, second.x)
    assert first.nfe == 3
    assert field.training
    assert not first.x.requires_grad


def test_a_function_may_be_guided_by_a_list():
    def doubled(field):
        return lambda query: 2 * field(query)

    def shifted(field):
        def guided(query: Query):
            return field(query) + 1

        return guided

    def drawn(*guidance):
        return thalweg.sample(
            lambda x, t: torch.ones_like(x), shape=(2,), indices=range(3), sampler=Euler(1), guidance=guidance
        ).x

    x_1 = SampleNoise(0, range(3), (2,)).initial()
    torch.testing.assert_close(drawn(), x_1 - 1)
    torch.testing.assert_close(drawn(doubled, shifted), x_1 - 3)
    torch.testing.assert_close(drawn(shifted, doubled), x_1 - 4)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {},
            ConfigError,
            r"a plain function does not state the shape of samples; give one, such as shape=\(2,\)",
        ),
        (
            {"shape": (2,), "network": torch.nn.Linear(2, 2)},
            ConfigError,
            "the function does not take x and t .*; give a function of the two",
        ),
        ({"shape": (0,)}, ConfigError, r"facts.shape is \(0,\)"),
        ({"shape": (2,), "labels": [0, 1]}, ConfigError, "the network is unconditional; leave them out"),
        ({"shape": (2,), "guidance": "cfg"}, ConfigError, "data are unconditional"),
        (
            {"shape": (3,), "network": lambda x, t: x[:, :2]},
            DataError,
            r"the function gives \(2, 2\) for x of \(2, 3\); it must keep the shape",
        ),
        ({"shape": (2,), "guidance": ClassifierFree()}, ConfigError, "give the samples labels or captions"),
    ],
)
def test_bad_input_is_told_in_words(options, error, message):
    given = {"network": lambda x, t: x, "indices": [0, 1], "sampler": Euler(2), **options}
    with pytest.raises(error, match=message):
        thalweg.sample(given.pop("network"), **given)


def test_a_network_knows_its_own_shape():
    facts = thalweg.Facts(shape=(1, 4, 4))
    network = thalweg.compose(
        backbone={"type": "dit", "width": 16, "heads": 2, "depth": 2, "patch": 2}, facts=facts
    )
    with pytest.raises(ConfigError, match=r"the network knows its shape, \(1, 4, 4\); leave out shape"):
        thalweg.sample(network, shape=(1, 4, 4), indices=[0])


def test_a_shape_that_is_none_is_told_where_no_type_checker_runs():
    program = "import thalweg; thalweg.sample(lambda x, t: x, indices=[0], shape=2)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "shape is 2; give the sizes of one sample, such as shape=(2,)" in done.stderr
