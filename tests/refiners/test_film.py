import pytest
import torch
from torch import nn
from torch.nn import functional

import thalweg
from thalweg.config import component
from thalweg.facts import Facts
from thalweg.types import Boundary, Stream

FACTS = Facts(shape=(1, 8, 8), branches=3, width=16)


def built(**options):
    torch.manual_seed(0)
    return component("refiner", {"type": "film", **options}).build(FACTS)


def inputs():
    generator = torch.Generator().manual_seed(1)
    tokens, patch_tokens = torch.randn(2, 3, 4, 16, generator=generator)
    return tokens, patch_tokens, torch.randn(3, 16, generator=generator)


def refined(refiner, gap=0.01, number=1, c=None, tokens=None):
    own, patch_tokens, own_c = inputs()
    time = torch.tensor([0.2, 0.5, 0.9])
    boundary = Boundary(number, patch_tokens, own_c if c is None else c, time, time + gap)
    return refiner(Stream(own if tokens is None else tokens), boundary)


def randomised(refiner):
    generator = torch.Generator().manual_seed(2)
    for parameter in refiner.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    return refiner


@pytest.mark.parametrize("shared", [False, True])
def test_it_starts_as_plain_deep_supervision(shared):
    refinement = refined(built(shared=shared))
    assert torch.equal(refinement.tokens, inputs()[0])
    assert torch.equal(refinement.features["acceleration"], inputs()[0])


def test_it_learns_from_the_first_step():
    refiner = built()
    refined(refiner).tokens.square().sum().backward()
    gradient = refiner.blocks[1].modulation.weight.grad
    # Those of the acceleration learn from what reads it.
    assert all(part.abs().max() > 0 for part in gradient.chunk(4)[:2])
    assert not gradient[32:].any()


def test_tokens_and_features_are_modulated_by_the_condition_and_the_gap():
    """h (1 + s) + b with (b, s, b_a, s_a) = W silu(c + E(gap)) + w, by hand."""
    refiner, (tokens, _, c) = randomised(built()), inputs()
    # The gap as the boundary has it, t_{i+1} - t_i in float32.
    time = torch.tensor([0.2, 0.5, 0.9])
    condition = functional.silu(c + refiner.time_gap(time + 0.01 - time))
    layer = refiner.blocks[1].modulation
    b, s, b_a, s_a = (condition @ layer.weight.T + layer.bias)[:, None].chunk(4, dim=-1)
    refinement = refined(refiner)
    torch.testing.assert_close(refinement.tokens, tokens * (1 + s) + b)
    torch.testing.assert_close(refinement.features["acceleration"], tokens * (1 + s_a) + b_a)


def test_channels_and_tokens_do_not_meet():
    """The derivative of a token's channel is by that token's channel alone."""
    refiner = randomised(built())
    jacobian = torch.autograd.functional.jacobian(
        lambda tokens: refined(refiner, tokens=tokens).tokens, inputs()[0]
    )
    flat = jacobian.reshape(3 * 4 * 16, 3 * 4 * 16)
    assert torch.equal(flat, torch.diag(flat.diag()))
    assert flat.diag().all()


def test_condition_and_gap_have_their_say():
    refiner = randomised(built())
    tokens = refined(refiner).tokens
    assert not torch.allclose(tokens, refined(refiner, gap=-0.5).tokens)
    assert not torch.allclose(tokens, refined(refiner, c=torch.zeros(3, 16)).tokens)


def test_boundaries_share_a_modulation_or_have_each_its_own():
    own, shared = randomised(built()), randomised(built(shared=True))
    assert not torch.allclose(refined(own, number=0).tokens, refined(own, number=1).tokens)
    assert torch.equal(refined(shared, number=0).tokens, refined(shared, number=1).tokens)
    # W and its bias, 4 D each, of a second boundary.
    sizes = [sum(one.numel() for one in refiner.parameters()) for refiner in (own, shared)]
    assert sizes[0] - sizes[1] == 16 * 64 + 64


def test_without_acceleration_it_feeds_no_read_out():
    refiner = built(acceleration=False)
    assert refiner.readouts == ()
    assert dict(refined(refiner).features) == {}
    # The same modulation of tokens costs half as much.
    assert refiner.blocks[0].modulation.weight.shape == (32, 16)


def test_a_network_reads_its_acceleration():
    network = thalweg.compose(
        backbone={"type": "dit", "width": 16, "depth": 3, "heads": 2},
        refiner={"type": "film", "shared": True},
        branches=3,
        facts=Facts(shape=(1, 8, 8)),
        seed=0,
    )
    randomised(network)
    prediction = network(torch.ones(2, 1, 8, 8), torch.tensor([[0.5, 0.6], [0.51, 0.6], [0.52, 0.6]]))
    assert [one.shape for one in prediction.readouts["acceleration"]] == 2 * [(2, 1, 8, 8)]
    prediction.readouts["acceleration"][0].square().sum().backward()
    assert network.refiner.blocks[0].modulation.weight.grad[32:].abs().max() > 0
