import pytest
import torch
from torch import nn

from thalweg.config import component
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.layers import gelu, layer_norm
from thalweg.types import Boundary, Stream

FACTS = Facts(shape=(1, 8, 8), branches=3, width=24)


def built(**options):
    torch.manual_seed(0)
    return component("refiner", {"type": "gated", **options}).build(FACTS)


def inputs():
    return torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(1)).unbind()


def refined(refiner, gap=0.01, number=1):
    tokens, patch_tokens = inputs()
    times = torch.full((3,), 0.5), torch.full((3,), 0.5 + gap)
    return refiner(Stream(tokens), Boundary(number, patch_tokens, torch.zeros(3, 24), *times))


def randomised(refiner):
    generator = torch.Generator().manual_seed(2)
    for parameter in refiner.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    return refiner


def test_it_starts_as_plain_deep_supervision():
    refinement = refined(built())
    assert torch.equal(refinement.tokens, inputs()[0])
    assert dict(refinement.features) == {}
    assert built().readouts == ()


def test_it_learns_from_the_first_step():
    refiner = built()
    refined(refiner).tokens.square().sum().backward()
    assert refiner.corrections[1].up.weight.grad.abs().max() > 0
    assert refiner.corrections[0].up.weight.grad is None


def test_every_gate_starts_at_one():
    """h' - h is then B gelu(A [LN(h); LN(p)]), whatever the gap is."""
    refiner, (tokens, patch_tokens) = built(), inputs()
    correction = refiner.corrections[1]
    nn.init.normal_(correction.up.weight)
    low = correction.down(torch.cat([layer_norm(tokens), layer_norm(patch_tokens)], dim=-1))
    expected = tokens + correction.up(gelu(low))
    for gap in (0.01, -0.4):
        torch.testing.assert_close(refined(refiner, gap).tokens, expected)


def test_the_correction_has_the_rank_that_it_states():
    refiner = randomised(built(rank=3))
    nn.init.zeros_(refiner.corrections[1].up.bias)
    # One gap for all samples, hence one gate: 48 corrected tokens span a space of rank 3.
    values = torch.linalg.svdvals((refined(refiner).tokens - inputs()[0]).flatten(0, 1).double())
    assert int((values > 1e-4 * values[0]).sum()) == 3


def test_the_gate_knows_the_gap_and_each_boundary_has_its_correction():
    refiner = randomised(built())
    tokens = refined(refiner, 0.01).tokens
    assert not torch.allclose(tokens, refined(refiner, -0.5).tokens)
    assert not torch.allclose(tokens, refined(refiner, 0.01, number=0).tokens)


def test_gates_lie_between_nothing_and_twice():
    """However large their weights are, a correction keeps its sign and is at most doubled."""
    refiner, tokens = built(), inputs()[0]
    correction = refiner.corrections[1]
    nn.init.normal_(correction.up.weight)
    plain = refined(refiner).tokens - tokens
    nn.init.normal_(correction.gate.weight, std=100.0)
    found = refined(refiner).tokens - tokens
    assert not torch.allclose(found, plain)
    assert torch.all(found * plain >= -1e-5)
    assert torch.all(found.abs() <= 2 * plain.abs() + 1e-5)


def test_it_is_smaller_than_a_full_layer():
    correction = built(rank=4).corrections[0]
    count = correction.down.weight.numel() + correction.up.weight.numel()
    assert count == 3 * 24 * 4 < 2 * 24**2


@pytest.mark.parametrize("rank", [0, -1, 70_000])
def test_a_rank_that_is_none_is_refused(rank):
    with pytest.raises(ConfigError, match="rank"):
        component("refiner", {"type": "gated", "rank": rank})
