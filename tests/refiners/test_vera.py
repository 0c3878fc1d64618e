import math

import attrs
import pytest
import torch
from torch import nn

from thalweg.config import component
from thalweg.facts import Facts
from thalweg.types import Boundary, Stream
from thalweg_refiners.vera import CrossSpaceAttention

FACTS = Facts(shape=(4, 8, 8), classes=10, branches=3, width=32, heads=4, grid=(4, 4))
RUNGS = {
    "time gap": {"acceleration": False, "cross_attention": False},
    "acceleration": {"cross_attention": False},
    "cross-space attention": {},
    "residual": {"residual": True},
}


def built(**options):
    torch.manual_seed(0)
    return component("refiner", {"type": "vera", "channels": [16, 24, 16], **options}).build(FACTS)


def inputs(seed=1):
    generator = torch.Generator().manual_seed(seed)
    tokens, patches = torch.randn(2, 2, 16, 32, generator=generator)
    return tokens, patches, torch.tensor([0.01, -0.005])


def at(refiner, tokens, patches, gap, number):
    """What it makes of tokens at a boundary."""
    times = torch.zeros(2), gap
    return refiner(Stream(tokens), Boundary(number, patches, torch.zeros(2, 32), *times))


def randomised(module):
    """No layer at zero, so that everything has its say."""
    generator = torch.Generator().manual_seed(2)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.2, generator=generator)
    return module


@pytest.mark.parametrize("rung", RUNGS)
def test_every_rung_refines_tokens(rung):
    refinement = at(randomised(built(**RUNGS[rung])), *inputs(), 1)
    assert refinement.tokens.shape == (2, 16, 32)
    assert ("acceleration" in refinement.features) == (rung != "time gap")


def test_the_rungs_differ_in_function_and_in_size():
    outputs = {name: at(randomised(built(**options)), *inputs(), 0).tokens for name, options in RUNGS.items()}
    names = list(outputs)
    for index, first in enumerate(names):
        for second in names[index + 1 :]:
            assert not torch.allclose(outputs[first], outputs[second], atol=1e-3), (first, second)
    sizes = [sum(p.numel() for p in built(**options).parameters()) for options in RUNGS.values()]
    assert sizes == sorted(set(sizes))


def test_residual_starts_as_plain_deep_supervision():
    tokens, patches, gap = inputs()
    assert torch.equal(at(built(residual=True), tokens, patches, gap, 0).tokens, tokens)


def test_residual_gate_learns_from_the_first_step():
    refiner = built(residual=True)
    at(refiner, *inputs(), 0).tokens.square().sum().backward()
    assert refiner.blocks[0].gate.grad.abs().max() > 0


def test_time_gap_has_no_say_at_first_and_has_one_later():
    tokens, patches, gap = inputs()
    fresh = built()
    same = at(fresh, tokens, patches, -gap, 0).tokens
    assert torch.equal(at(fresh, tokens, patches, gap, 0).tokens, same)
    trained = randomised(built())
    assert not torch.allclose(
        at(trained, tokens, patches, gap, 0).tokens, at(trained, tokens, patches, -gap, 0).tokens
    )


def test_patch_tokens_are_read_through_attention_alone():
    tokens, patches, gap = inputs()
    without = randomised(built(cross_attention=False))
    assert torch.equal(
        at(without, tokens, patches, gap, 0).tokens, at(without, tokens, -patches, gap, 0).tokens
    )
    crossed = randomised(built())
    assert not torch.allclose(
        at(crossed, tokens, patches, gap, 0).tokens, at(crossed, tokens, -patches, gap, 0).tokens
    )


def test_boundaries_have_weights_of_their_own_and_share_the_embedder():
    refiner = randomised(built())
    assert not torch.allclose(at(refiner, *inputs(), 0).tokens, at(refiner, *inputs(), 1).tokens)
    embedders = {name.split(".")[0] for name, _ in refiner.named_parameters()}
    assert embedders == {"time_gap", "blocks"}


def test_clamped_scale_bounds_the_modulation():
    tokens, patches, gap = inputs()
    free, clamped = randomised(built()), randomised(built(clamp_scale=0.01))
    assert not torch.allclose(
        at(free, tokens, patches, gap, 0).tokens, at(clamped, tokens, patches, gap, 0).tokens
    )
    loose = randomised(built(clamp_scale=1e6))
    assert torch.equal(at(free, tokens, patches, gap, 0).tokens, at(loose, tokens, patches, gap, 0).tokens)


def test_gradients_reach_every_parameter():
    refiner = randomised(built())
    refinement = at(refiner, *inputs(), 0)
    (refinement.tokens.square().sum() + refinement.features["acceleration"].square().sum()).backward()
    untouched = [
        name for name, p in refiner.named_parameters() if p.grad is None and not name.startswith("blocks.1")
    ]
    assert untouched == []


@pytest.mark.parametrize(
    ("option", "value"), [("channels", []), ("channels", [0]), ("clamp_scale", 0.0), ("acceleration", 1)]
)
def test_bad_options_are_named(option, value):
    with pytest.raises(Exception, match=option):
        component("refiner", {"type": "vera", option: value})


def test_cross_space_attention_starts_as_one_joint_projection():
    # torch's own attention draws queries, keys and values as one Xavier matrix of 3 D x D. 256 x 256 numbers
    # and more tell standard deviations apart by far less than the 1.155 and 1.414 of matrices drawn apart.
    width = 256
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(width, 4).in_proj_weight.detach()
    attention = CrossSpaceAttention(width, 4).requires_grad_(False)
    q, kv = theirs.split([width, 2 * width])
    for ours, published in ((attention.q.weight, q), (attention.kv.weight, kv)):
        assert float(ours.std() / published.std()) == pytest.approx(1, abs=0.01)
        assert float(ours.abs().max()) == pytest.approx(math.sqrt(6 / (4 * width)), rel=1e-3)
        assert float(published.abs().max()) == pytest.approx(math.sqrt(6 / (4 * width)), rel=1e-3)
    # What leaves it is an ordinary linear layer of D x D.
    assert float(attention.out.weight.abs().max()) == pytest.approx(math.sqrt(6 / (2 * width)), rel=1e-3)
    for layer in (attention.q, attention.kv, attention.out):
        assert not layer.bias.any()


def test_plain_hands_the_tokens_on():
    tokens, patches, gap = inputs()
    plain = component("refiner", "plain").build(attrs.evolve(FACTS, branches=2))
    refinement = at(plain, tokens, patches, gap, 0)
    assert refinement.tokens is tokens
    assert not refinement.features
    assert list(plain.parameters()) == []
