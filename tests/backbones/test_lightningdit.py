import pytest
import torch
from torch import nn

import thalweg
from thalweg.config import component
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.layers import read
from thalweg.training.trainer import Trainer
from thalweg.types import Condition
from thalweg_backbones.lightning_block import SwiGLU, TokenNorm
from thalweg_backbones.rotary import Rotary, rotate
from tiny_runs import lines, tiny

SMALL = {"type": "lightningdit", "width": 32, "heads": 4, "depth": 3, "patch": 2}
SHAPE = (4, 8, 8)
EVERY = [
    {},
    {"conditioning": "context"},
    {"conditioning": "both", "class_tokens": 3},
    {"value_residual": True},
    {"value_residual": True, "conditioning": "both"},
    {"head_width": 48},
]


def built(shape=SHAPE, classes=10, **options):
    torch.manual_seed(0)
    return component("backbone", {**SMALL, **options}).build(Facts(shape=shape, classes=classes))


def randomised(module, std=0.2):
    generator = torch.Generator().manual_seed(2)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=std, generator=generator)
    return module


def turned(x, places, grid, heads):
    return rotate(x, *Rotary(grid, x.shape[-1] // heads)(places), heads)


def products(places):
    """Query-key products of two heads between tokens at these places of a grid of 7 x 9."""
    draw = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 1, len(places), 16, generator=draw).unbind()
    where = torch.tensor([[9 * row + column for row, column in places]])
    q, k = (turned(one, where, (7, 9), 2).unflatten(-1, (2, 8)) for one in (q, k))
    return torch.einsum("nqhd,nkhd->nhqk", q, k)


def test_products_depend_on_differences_of_rows_and_of_columns_alone():
    places = [(0, 0), (1, 3), (2, 1)]
    here = products(places)
    assert torch.allclose(products([(r + 4, c + 5) for r, c in places]), here, atol=1e-5)
    assert torch.allclose(products([(r + 3, c) for r, c in places]), here, atol=1e-5)
    assert not torch.allclose(products([(c, r) for r, c in places]), here, atol=1e-2)
    assert not torch.allclose(products([(0, 0), (2, 3), (2, 1)]), here, atol=1e-2)
    assert not torch.allclose(products([(0, 0), (1, 4), (2, 1)]), here, atol=1e-2)


def test_rotation_keeps_lengths_and_turns_pairs_by_row_and_column_times_a_frequency():
    x = torch.randn(1, 35, 8, generator=torch.Generator().manual_seed(1))
    found = turned(x, None, (5, 7), 1)
    assert torch.allclose(found.norm(dim=-1), x.norm(dim=-1), atol=1e-5)
    row, column = 3, 6
    pairs = torch.view_as_complex(x[0, 7 * row + column].view(4, 2))
    angle = torch.tensor([row, row * 10_000**-0.5, column, column * 10_000**-0.5])
    expected = torch.view_as_real(pairs * torch.polar(torch.ones(4), angle)).flatten()
    assert torch.allclose(found[0, 7 * row + column], expected, atol=1e-5)


def test_a_subset_turns_by_its_places_and_a_context_does_not_turn():
    rotary = Rotary((3, 5), 8)
    places = torch.tensor([[14, 2], [0, 7]])
    every, (cos, sin) = rotary(None), rotary(places, before=2)
    assert cos.shape == sin.shape == (2, 4, 4)
    for found, whole, still in zip((cos, sin), every, (1.0, 0.0), strict=True):
        assert (found[:, :2] == still).all()
        assert torch.equal(found[:, 2:], whole[places])


def test_the_norm_and_the_gated_mlp_are_their_formulas():
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, 32, generator=draw, dtype=torch.float64)
    norm = randomised(TokenNorm(32)).double()
    expected = x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * norm.weight
    assert torch.allclose(norm(x), expected, atol=1e-12)
    mlp = randomised(SwiGLU(32, 85)).double()
    gate, value = (
        x @ weight.T + bias
        for weight, bias in zip(
            mlp.gate_and_value.weight.chunk(2), mlp.gate_and_value.bias.chunk(2), strict=True
        )
    )
    expected = (gate * gate.sigmoid() * value) @ mlp.out.weight.T + mlp.out.bias
    assert torch.allclose(mlp(x), expected, atol=1e-12)


@pytest.mark.parametrize("width", [384, 768, 1024, 1152])
def test_the_gated_mlp_has_about_the_weights_of_one_four_times_the_width(width):
    block = component("backbone", {"type": "lightningdit", "width": width, "heads": 4, "depth": 1}).build(
        Facts(shape=(4, 4, 4))
    )
    weights = sum(one.numel() for one in block.blocks[0].mlp.parameters() if one.dim() == 2)
    assert weights == pytest.approx(8 * width**2, rel=1e-3)


@pytest.mark.parametrize("options", EVERY, ids=str)
def test_starts_as_the_identity_and_reads_zero(options):
    backbone = built(**options)
    x = torch.randn(2, *SHAPE)
    condition = Condition(torch.tensor([0, 1]))
    stream, c = backbone.embed(x, condition), backbone.condition(torch.tensor([0.1, 0.9]), condition)
    assert torch.equal(backbone.run(stream, c, 0, 3).tokens, stream.tokens)
    assert not read(backbone.readout(), stream.tokens, c, x).any()


@pytest.mark.parametrize("options", EVERY, ids=str)
def test_checkpointing_changes_no_gradient(options):
    gradients = []
    for checkpointing in (False, True):
        backbone = randomised(built(**options, checkpointing=checkpointing))
        stream = backbone.embed(torch.ones(1, *SHAPE), Condition())
        c = backbone.condition(torch.tensor([0.3]), Condition())
        backbone.run(stream, c, 0, 3).tokens.square().sum().backward()
        gradients.append([one.grad for one in backbone.blocks.parameters()])
    assert all(map(torch.equal, *gradients))


def test_values_of_the_first_block_are_mixed_into_those_of_later_ones():
    backbone = randomised(built(value_residual=True))
    stream = backbone.embed(torch.randn(1, *SHAPE), Condition())
    c = torch.randn(1, 32)
    first = backbone.run(stream, c, 0, 1)
    attention = backbone.blocks[1].attention
    with torch.no_grad():
        attention.mixing.copy_(torch.tensor([0.0, 1.0]))
    whole = backbone.run(first, c, 1, 2).tokens
    # With the first block's values alone, its own projection to values no longer counts.
    with torch.no_grad():
        attention.qkv.weight[64:] = 7.0
    assert torch.equal(backbone.run(first, c, 1, 2).tokens, whole)
    with torch.no_grad():
        attention.mixing.copy_(torch.tensor([1.0, 0.0]))
    alone = backbone.run(first, c, 1, 2).tokens
    other = first._replace(values=first.values + 1)
    assert torch.equal(backbone.run(other, c, 1, 2).tokens, alone)
    assert not torch.equal(alone, whole)


def test_where_the_first_block_is_skipped_the_next_one_is_the_first():
    backbone = randomised(built(value_residual=True))
    stream, c = backbone.embed(torch.randn(1, *SHAPE), Condition()), torch.randn(1, 32)
    skipped = backbone.run(stream, c, 1, 2)
    assert skipped.values.shape == (1, 16, 32)
    assert torch.isfinite(backbone.run(skipped, c, 2, 3).tokens).all()


@pytest.mark.parametrize("conditioning", ["context", "both"])
def test_time_and_class_reach_the_image_through_the_context(conditioning):
    backbone = randomised(built(conditioning=conditioning, class_tokens=2))
    x = torch.randn(1, *SHAPE)

    def tokens(t, label, c=None):
        condition = Condition(torch.tensor([label]))
        found = backbone.condition(torch.tensor([t]), condition) if c is None else c
        return backbone.run(backbone.embed(x, condition), found, 0, 3).tokens

    assert backbone.embed(x, Condition()).context.shape == (1, 3, 32)
    c = backbone.condition(torch.tensor([0.3]), Condition(torch.tensor([1])))
    assert not torch.allclose(tokens(0.3, 1), tokens(0.8, 1))
    assert not torch.allclose(tokens(0.3, 1, c), tokens(0.3, 2, c))


def test_the_time_token_is_put_in_front_once():
    """What the blocks make of tokens in front, each block written out on the sequence as a whole."""
    backbone = randomised(built(conditioning="context"))
    x, condition = torch.randn(2, *SHAPE), Condition(torch.tensor([1, 4]))
    stream, c = backbone.embed(x, condition), backbone.condition(torch.tensor([0.2, 0.7]), condition)
    front = stream.context.clone()
    front[:, 0] = front[:, 0] + backbone.context_time(c)
    sequence, rotation = torch.cat([front, stream.tokens], dim=1), backbone.rotary(None, 2)
    for block in backbone.blocks:
        sequence, _ = block(sequence, c, rotation)
    assert torch.allclose(backbone.run(stream, c, 0, 3).tokens, sequence[:, 2:], atol=1e-4)


def test_a_branch_at_another_time_continues_with_its_own_time_token():
    backbone = randomised(built(conditioning="context", classes=None))
    x, t = torch.randn(1, *SHAPE), torch.tensor([0.2, 0.9])
    early, late = (backbone.condition(one[None], Condition()) for one in t)
    half = backbone.run(backbone.embed(x, Condition()), early, 0, 1)
    front = half.context[:, 0] + backbone.context_time(late)
    sequence, rotation = torch.cat([front[:, None], half.tokens], dim=1), backbone.rotary(None, 1)
    for block in backbone.blocks[1:]:
        sequence, _ = block(sequence, late, rotation)
    assert torch.allclose(backbone.run(half, late, 1, 3).tokens, sequence[:, 1:], atol=1e-4)


def test_a_wide_head_hands_on_what_a_narrow_trunk_cannot():
    """Of 64 directions of a patch a trunk 16 wide keeps 16; its wide head sees the noisy image itself."""
    options = {"type": "lightningdit", "width": 16, "heads": 2, "depth": 1, "patch": 4}
    facts = Facts(shape=(4, 4, 4))
    x = torch.randn(200, 4, 4, 4, generator=torch.Generator().manual_seed(0))

    def rank(**more):
        backbone = component("backbone", {**options, **more}).build(facts)
        readout = randomised(backbone.readout(), 0.1)
        c = torch.zeros(200, 16)
        with torch.no_grad():
            tokens = backbone.run(backbone.embed(x, Condition()), c, 0, 1).tokens
            found = read(readout, tokens, c, x).flatten(1)
        values = torch.linalg.svdvals(found - found.mean(0))
        return int((values > 1e-4 * values[0]).sum())

    assert rank() <= 16
    assert rank(head_width=96) > 60


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width": 40}, "a head is 10 wide"),
        ({"patch": 8, "shape": (4, 12, 8)}, "does not divide the 12x8 image"),
        ({"class_tokens": 4}, "4 tokens of the class have no place without a context"),
        ({"head_width": 40}, "must be a multiple of 16, 4 times the 4 heads"),
        ({"conditioning": "film"}, "conditioning"),
        ({"heads": 5}, "5 heads"),
    ],
)
def test_what_does_not_go_together_is_named(options, words):
    with pytest.raises(ConfigError, match=words):
        built(**options)


def test_a_run_learns_is_saved_and_sampled(tmp_path):
    backbone = {"type": "lightningdit", "width": 32, "heads": 4, "depth": 4, "patch": 2}
    more = {"conditioning": "both", "value_residual": True, "head_width": 32}
    top = {"backbone": {**backbone, **more}, "prediction": "clean", "heads": [1]}
    config = tiny(top=top, steps=60, batch_size=32, optimizer={"type": "adamw", "lr": 3e-3}, log_every=10)
    Trainer(config, tmp_path, accelerator="cpu", quiet=True).train()
    losses = [line["loss"] for line in lines(tmp_path) if "loss" in line]
    assert losses[-1] < 0.6 * losses[0]
    network = thalweg.load(tmp_path)
    assert network.prediction == "clean"
    samples = thalweg.sample(network, indices=range(3), labels=[1, 2, 3], guidance="internal").x
    assert samples.shape == (3, 1, 8, 8)
    assert torch.isfinite(samples).all()
