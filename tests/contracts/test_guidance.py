"""Every guidance."""

import attrs
import pytest
import torch

from contracts.catalogue import FACTS, draws, names
from thalweg.config import component
from thalweg.errors import ConfigError
from thalweg.types import Condition

EVERY = pytest.mark.parametrize("name", names("guidance"))
LABELS = Condition(torch.tensor([0, 3, 9]))
TIMES = torch.tensor([0.9, 0.5, 0.0], dtype=torch.float64)


def network(x, t, condition):
    assert (t.dtype, t.device.type, t.shape) == (torch.float64, "cpu", (len(x),))
    kinds = torch.where(condition.hidden(), -1, condition.labels).view(-1, 1, 1, 1)
    return (kinds + 2) * x.sin() + t.to(x).view(-1, 1, 1, 1)


def guided(name, condition=LABELS, **options):
    return component("guidance", {"type": name, **options}).build(FACTS)(network, condition)


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scale_one_is_the_conditional_field(name, dtype):
    x = draws(3, *FACTS.shape, dtype=dtype)
    out = guided(name, scale=1.0)(x, TIMES)
    assert torch.equal(out, network(x, TIMES, LABELS))
    assert out.dtype == dtype


@EVERY
def test_other_scales_differ_and_keep_shape_and_dtype(name):
    x = draws(3, *FACTS.shape)
    out = guided(name, scale=2.5)(x, TIMES)
    assert (out.shape, out.dtype) == (x.shape, x.dtype)
    assert not torch.allclose(out, network(x, TIMES, LABELS))


@EVERY
def test_a_sample_does_not_depend_on_its_neighbours(name):
    x = draws(3, *FACTS.shape)
    whole = guided(name, scale=2.5)(x, TIMES)
    for rows in ([1], [2, 0]):
        index = torch.tensor(rows)
        alone = guided(name, LABELS.select(index), scale=2.5)(x[index], TIMES[index])
        assert torch.equal(alone, whole[index])
        selected = guided(name, scale=2.5).select(index)(x[index], TIMES[index])
        assert torch.equal(selected, whole[index])


@EVERY
def test_nothing_to_leave_out_is_an_error_when_it_is_built(name):
    config = component("guidance", name)
    with pytest.raises(ConfigError, match="unconditional"):
        config.build(attrs.evolve(FACTS, classes=None))
    with pytest.raises(ConfigError, match="unconditional"):
        config.build(FACTS)(network, Condition())
