"""Every distribution of training times."""

import pytest
import torch

from contracts.catalogue import FACTS, names
from samplers.gaussian import COSINE, LINEAR
from thalweg.config import component

EVERY = pytest.mark.parametrize("name", names("time_sampler"))
PATHS = pytest.mark.parametrize("interpolant", [LINEAR, COSINE], ids=["linear", "cosine"])


def times(name, count, interpolant, seed=0):
    sampler = component("time_sampler", name).build(FACTS)
    return sampler(count, torch.Generator().manual_seed(seed), interpolant)


@EVERY
@PATHS
@pytest.mark.parametrize("count", [1, 7, 20_000])
def test_times_lie_in_the_unit_interval(name, interpolant, count):
    drawn = times(name, count, interpolant)
    assert (drawn.shape, drawn.dtype) == ((count,), torch.float32)
    assert float(drawn.min()) >= 0
    assert float(drawn.max()) <= 1


@EVERY
@PATHS
def test_times_spread_over_the_interval(name, interpolant):
    drawn = times(name, 20_000, interpolant)
    assert (torch.histc(drawn, 5, 0, 1) > 200).all()
    assert len(drawn.unique()) > 15_000


@EVERY
@PATHS
def test_the_generator_alone_decides(name, interpolant):
    state = torch.get_rng_state()
    assert torch.equal(times(name, 9, interpolant), times(name, 9, interpolant))
    assert not torch.equal(times(name, 9, interpolant), times(name, 9, interpolant, seed=1))
    assert torch.equal(torch.get_rng_state(), state)
