import pytest
import torch

import thalweg
from thalweg.facts import Facts
from thalweg.types import Condition
from thalweg_authoring import ConformanceSuite
from thalweg_uvit.backbone import UViTConfig

FACTS = Facts(shape=(1, 8, 8))


class TestUViT(ConformanceSuite):
    """Every rule of the kind is a test."""

    kind = "backbone"
    name = "uvit"


def randomised_network(depth):
    torch.manual_seed(0)
    backbone = UViTConfig(width=16, depth=depth, heads=2).build(FACTS)
    for parameter in backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return backbone


def ran(backbone, stream, start, stop):
    return backbone.run(stream, backbone.condition(torch.tensor([0.5]), Condition()), start, stop)


@pytest.mark.parametrize("depth", [4, 5])
def test_each_output_of_the_first_half_arrives_at_its_mirror_and_is_used_up(depth):
    backbone = randomised_network(depth)
    half = ran(backbone, backbone.embed(torch.randn(1, 1, 8, 8), Condition()), 0, depth // 2)
    assert half.context.shape == (1, depth // 2 * 16, 16)
    assert torch.equal(half.context[:, -16:], half.tokens)
    assert backbone.shares().keys() == set(range(depth - depth // 2, depth))
    assert {source for source, _ in backbone.shares().values()} == set(range(depth // 2))
    assert ran(backbone, half, depth // 2, depth).context.shape[1] == 0


def test_a_skip_carries_what_no_block_between_does():
    backbone = randomised_network(4)
    half = ran(backbone, backbone.embed(torch.randn(1, 1, 8, 8), Condition()), 0, 2)
    other = half._replace(context=half.context + 1)
    assert not torch.allclose(ran(backbone, half, 2, 4).tokens, ran(backbone, other, 2, 4).tokens)


def test_it_begins_without_skips():
    backbone = UViTConfig(width=16, depth=4, heads=2).build(FACTS)
    assert {share for _, share in backbone.shares().values()} == {0.0}


@pytest.mark.parametrize("options", [{"patch": 3}, {"width": 18, "heads": 4}])
def test_sizes_that_do_not_fit_are_said(options):
    with pytest.raises(thalweg.ConfigError, match=r"backbone\.(patch|width) is"):
        UViTConfig(**options).build(FACTS)
