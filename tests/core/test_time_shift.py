"""The shift of training times towards noise."""

import math

import pytest
import torch

from thalweg.config import component
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.plugins import build_component
from thalweg.time_samplers.shifted import Shifted
from thalweg.time_samplers.uniform import Uniform

LINEAR = Interpolant.named("linear")
LATENTS = Facts(shape=(4, 32, 32))


def drawn(sampler, count=1000, seed=0):
    return sampler(count, torch.Generator().manual_seed(seed), LINEAR)


@pytest.mark.parametrize("shift", [0.25, 1.0, 3.0, 40.0])
def test_noise_stands_to_data_as_that_many_times_as_much(shift):
    config = component("time_sampler", {"type": "shifted", "inner": "uniform", "shift": shift})
    before, after = drawn(Uniform()).double(), drawn(build_component(config, LATENTS)).double()
    torch.testing.assert_close(
        after / (1 - after), shift * before / (1 - before), rtol=1e-3 * max(1, shift), atol=0
    )


@pytest.mark.parametrize(("shape", "shift"), [((4, 32, 32), 1.0), ((4, 64, 64), 2.0), ((1, 8, 8), 0.125)])
def test_by_default_it_follows_from_how_many_numbers_a_sample_has(shape, shift):
    sampler = build_component(component("time_sampler", "shifted"), Facts(shape=shape))
    assert sampler.shift == pytest.approx(shift)
    plain = drawn(build_component(component("time_sampler", "logit_normal"), LATENTS)).double()
    found = drawn(sampler).double()
    torch.testing.assert_close(found.logit(), plain.logit() + math.log(shift), rtol=1e-3, atol=1e-3)


def test_the_ends_stay_and_no_time_leaves_the_interval():
    def ends(count, generator, interpolant):
        return torch.linspace(0, 1, count)

    for shift in (1e-3, 0.7, 3.3, 1e4):
        found = drawn(Shifted(ends, shift), 1001)
        assert (found[0], found[-1]) == (0, pytest.approx(1))
        assert found.min() >= 0
        assert found.max() <= 1
        assert (found.diff() >= 0).all()


def test_it_is_applied_once():
    twice = {"type": "shifted", "inner": {"type": "shifted", "shift": 2.0}, "shift": 2.0}
    with pytest.raises(ConfigError, match=r"inner.*shifted already; state one 'shifted', whose shift is the"):
        component("time_sampler", twice)
    once = Shifted(Uniform(), 2.0)
    with pytest.raises(ConfigError, match="shifts times that are shifted already"):
        Shifted(once, 2.0)
    with pytest.raises(ConfigError, match=r"time_sampler\.inner.*shifted already"):
        component("planner", {"type": "branch_times", "time_sampler": twice})


@pytest.mark.parametrize("shift", [0.0, -1.0])
def test_a_shift_is_above_zero(shift):
    with pytest.raises(ConfigError, match="shift"):
        component("time_sampler", {"type": "shifted", "shift": shift})
