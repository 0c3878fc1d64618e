import math

import attrs
import pytest
import torch
from torch import nn

import thalweg
from thalweg.config import component, dump, structure
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.types import Condition
from thalweg_backbones.dit import DiTConfig
from thalweg_backbones.layers import positions

SMALL = {"type": "dit", "width": 32, "heads": 4, "depth": 2}


def built(shape=(4, 8, 8), classes=10, **options):
    torch.manual_seed(0)
    return component("backbone", {**SMALL, **options}).build(Facts(shape=shape, classes=classes))


def randomised(module):
    generator = torch.Generator().manual_seed(2)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.2, generator=generator)
    return module


@pytest.mark.parametrize("patch", [1, 2, 4, 8])
@pytest.mark.parametrize("shape", [(4, 8, 8), (1, 16, 8), (3, 8, 24)])
def test_patches_of_any_rectangle_and_channel_count(patch, shape):
    dit = built(shape, patch=patch)
    x = torch.randn(2, *shape)
    stream = dit.embed(x, Condition())
    assert dit.grid == (shape[1] // patch, shape[2] // patch)
    assert stream.tokens.shape == (2, math.prod(dit.grid), 32)
    assert randomised(dit.readout())(stream.tokens, torch.randn(2, 32)).shape == x.shape


def test_every_token_reads_its_own_patch_and_every_readout_writes_it():
    dit = built((3, 8, 12))
    x = torch.zeros(1, 3, 8, 12)
    base = dit.embed(x, Condition()).tokens
    x[:, 1, 2:4, 6:8] = 1.0  # row 1, column 3 of a grid of 4 x 6
    changed = (dit.embed(x, Condition()).tokens - base).abs().sum(-1)[0].nonzero().flatten()
    assert changed.tolist() == [1 * 6 + 3]
    tokens, c = torch.randn(1, 24, 32), torch.zeros(1, 32)
    readout = randomised(dit.readout())
    before = readout(tokens, c)
    tokens[:, 9] += torch.randn(32)
    where = (readout(tokens, c) - before).abs().sum((0, 1)).nonzero()
    assert where.min(0).values.tolist() == [2, 6]
    assert where.max(0).values.tolist() == [3, 7]


def test_positions_are_distinct_and_separate_rows_from_columns():
    table = positions((3, 5), 16)[0]
    assert torch.pdist(table).min() > 0.1
    by_place = table.view(3, 5, 16)
    assert torch.equal(by_place[0, :, :8], by_place[2, :, :8])  # columns stand in the first half
    assert torch.equal(by_place[:, 0, 8:], by_place[:, 4, 8:])


def test_starts_as_the_identity_and_reads_zero():
    dit = built()
    x = torch.randn(2, 4, 8, 8)
    stream = dit.embed(x, Condition())
    c = dit.condition(torch.tensor([0.1, 0.9]), Condition(torch.tensor([0, 1])))
    assert torch.equal(dit.run(stream, c, 0, 2).tokens, stream.tokens)
    assert not dit.readout()(stream.tokens, c).any()


def test_the_null_class_stands_for_dropped_and_for_missing_labels():
    dit = built()
    t, labels = torch.tensor([0.3, 0.3]), torch.tensor([1, 2])
    dropped = dit.condition(t, Condition(labels, torch.tensor([True, False])))
    labelled, none = dit.condition(t, Condition(labels)), dit.condition(t, Condition())
    assert torch.equal(dropped[0], none[0])
    assert torch.equal(dropped[1], labelled[1])
    assert not torch.equal(none[0], labelled[0])


def test_unconditional_has_no_class_table():
    dit = built(classes=None)
    assert dit.classes is None
    assert dit.condition(torch.rand(2), Condition()).shape == (2, 32)


def test_ranges_of_blocks_compose():
    dit = randomised(built(depth=3))
    stream = dit.embed(torch.randn(1, 4, 8, 8), Condition())
    c = torch.randn(1, 32)
    whole = dit.run(stream, c, 0, 3).tokens
    assert torch.equal(dit.run(dit.run(stream, c, 0, 1), c, 1, 3).tokens, whole)


@pytest.mark.parametrize("qk_norm", [False, True])
def test_checkpointing_changes_no_gradient(qk_norm):
    gradients = []
    for checkpointing in (False, True):
        dit = randomised(built(qk_norm=qk_norm, checkpointing=checkpointing))
        stream = dit.embed(torch.ones(1, 4, 8, 8), Condition())
        dit.run(stream, torch.ones(1, 32), 0, 2).tokens.square().sum().backward()
        gradients.append(dit.blocks[0].mlp.layers[0].weight.grad)
    assert torch.equal(*gradients)


def test_qk_norm_bounds_the_attention_logits():
    dit = randomised(built(qk_norm=True))
    attention = dit.blocks[0].attention
    nn.init.ones_(attention.q_norm.weight)
    normed = attention.q_norm(1e4 * torch.randn(5, 8))
    assert normed.norm(dim=-1).max() <= math.sqrt(8) * 1.001


@pytest.mark.parametrize(
    ("options", "shape", "words"),
    [
        ({"patch": 8}, (4, 12, 8), "does not divide the 12x8 image"),
        ({"width": 30}, (4, 8, 8), "multiple of 4"),
        ({"heads": 5}, (4, 8, 8), "5 heads"),
    ],
)
def test_what_does_not_go_together_is_named(options, shape, words):
    with pytest.raises(thalweg.ConfigError, match=words):
        built(shape, **options)


@pytest.mark.parametrize(("option", "value"), [("patch", 3), ("size", "M"), ("depth", 0), ("width", "32")])
def test_bad_options_are_named(option, value):
    with pytest.raises(thalweg.ConfigError, match=option):
        component("backbone", {"type": "dit", option: value})


@pytest.mark.parametrize(
    ("stated", "dumped"),
    [
        ({}, {"size": "B"}),
        ({"size": "XL"}, {"size": "XL"}),
        ({"size": "XL", "depth": 28, "heads": 16}, {"size": "XL"}),
        ({"width": 1024, "depth": 24, "heads": 16}, {"size": "L"}),
        ({"size": "XL", "depth": 24}, {"width": 1152, "depth": 24, "heads": 16}),
        ({"width": 96}, {"width": 96, "depth": 12, "heads": 12}),
        ({"width": 96, "depth": 6, "heads": 4}, {"width": 96, "depth": 6, "heads": 4}),
    ],
)
def test_a_resolved_config_has_a_size_or_dimensions_that_are_none(stated, dumped):
    config = structure(DiTConfig, stated)
    found = dump(config)
    nothing = dict.fromkeys(("size", "width", "depth", "heads"), "none")
    assert {key: found[key] for key in nothing} == {**nothing, **dumped}
    assert structure(DiTConfig, found) == config
    assert attrs.evolve(config, depth=3).dimensions == attrs.evolve(config.dimensions, depth=3)


def test_a_size_that_decides_nothing_is_refused():
    with pytest.raises(ConfigError, match="size: 'L' decides nothing beside width, depth and heads"):
        structure(DiTConfig, {"size": "L", "width": 96, "depth": 6, "heads": 4})
    with pytest.raises(ConfigError, match="decides nothing"):
        attrs.evolve(DiTConfig(width=96, depth=6, heads=4), size="L")
