import torch

from thalweg.facts import Facts
from thalweg.testing import ConformanceSuite
from thalweg.types import Boundary, Stream
from thalweg_gated_lora.refiner import GatedLoraConfig

FACTS = Facts(shape=(1, 8, 8), branches=3, width=24)


class TestGatedLora(ConformanceSuite):
    """Every rule of the kind is a test."""

    kind = "refiner"
    name = "gated_lora"


def refined(refiner, gap=0.01):
    tokens, patch_tokens = torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(0)).unbind()
    times = torch.full((3,), 0.5), torch.full((3,), 0.5 + gap)
    boundary = Boundary(1, patch_tokens, torch.zeros(3, 24), *times)
    return tokens, refiner(Stream(tokens), boundary).tokens


def test_it_begins_as_plain_deep_supervision():
    tokens, out = refined(GatedLoraConfig().build(FACTS))
    assert torch.equal(out, tokens)


def test_the_correction_has_the_rank_that_it_states():
    refiner = GatedLoraConfig(rank=3).build(FACTS)
    for parameter in refiner.corrections[1].up.parameters():
        torch.nn.init.normal_(parameter)
    torch.nn.init.zeros_(refiner.corrections[1].up.bias)
    tokens, out = refined(refiner)
    # One gap for all samples, hence one gate: 48 corrected tokens span a space of rank 3.
    values = torch.linalg.svdvals((out - tokens).flatten(0, 1).double())
    assert int((values > 1e-4 * values[0]).sum()) == 3


def test_the_gate_knows_the_gap():
    refiner = GatedLoraConfig().build(FACTS)
    for parameter in refiner.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    assert not torch.allclose(refined(refiner, 0.01)[1], refined(refiner, -0.5)[1])


def test_it_is_smaller_than_a_full_layer():
    correction = GatedLoraConfig(rank=4).build(FACTS).corrections[0]
    count = correction.down.weight.numel() + correction.up.weight.numel()
    assert count == 3 * 24 * 4 < 2 * 24**2
