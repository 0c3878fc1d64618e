"""The MLP: data of any shape as one token."""

import math

import pytest
import torch

import thalweg
from thalweg.layers import layer_norm
from thalweg.types import Condition
from thalweg_authoring.numbers import randomised

SHAPES = [(2,), (1,), (7,), (3, 4), (1, 1), (4, 32, 32), (3, 5, 7), (1, 2, 3, 4), (2, 1, 1, 1, 3)]


def composed(shape, refiner=None, branches=1, classes=3, **options):
    backbone = {"type": "mlp", "width": 16, "depth": 4, **options}
    facts = thalweg.Facts(shape=shape, classes=classes)
    return thalweg.compose(backbone=backbone, refiner=refiner, branches=branches, facts=facts)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    ("refiner", "branches"),
    [(None, 1), ("plain", 2), ({"type": "vera", "channels": [8]}, 4)],
    ids=["alone", "plain", "vera"],
)
def test_any_shape_goes_through_every_refiner(shape, refiner, branches):
    network = randomised(composed(shape, refiner, branches))
    x, times = torch.randn(3, *shape), torch.rand(branches, 3)
    prediction = network(x, times, Condition(torch.tensor([0, 1, 2])))
    assert [v.shape for v in prediction.velocities] == [x.shape] * branches
    assert all(v.std() > 0 for v in prediction.velocities)


def test_it_is_as_its_equations_say():
    """h <- h + g MLP((1 + s) LN(h) + b), read out by a linear layer of (1 + s) LN(h) + b."""
    network = randomised(composed((3, 2)))
    backbone, readout, silu = network.backbone, network.velocity_readout, torch.nn.functional.silu
    x, t = torch.randn(5, 3, 2), torch.rand(5)
    labels = torch.tensor([0, 1, 2, 1, 0])
    c = backbone.time(t) + backbone.classes.weight[labels]
    first, second = backbone.embedding.layers
    h = second(silu(first(x.reshape(5, 6))))
    for block in backbone.blocks:
        shift, scale, gate = block.modulation(silu(c)).split(16, dim=-1)
        h = h + gate * block.mlp(layer_norm(h) * (1 + scale) + shift)
    shift, scale = readout.modulation(silu(c)).split(16, dim=-1)
    expected = readout.projection(layer_norm(h) * (1 + scale) + shift).reshape(5, 3, 2)
    torch.testing.assert_close(network.velocity(x, t, Condition(labels)), expected)


def test_blocks_start_as_the_identity_and_the_size_of_x_is_seen():
    backbone = composed((2,)).backbone
    x, nothing = torch.randn(4, 2), Condition()
    stream = backbone.embed(x, nothing)
    c = backbone.condition(torch.rand(4), nothing)
    assert torch.equal(backbone.run(stream, c, 0, 4).tokens, stream.tokens)
    longer = backbone.embed(3 * x, nothing).tokens
    assert not torch.allclose(layer_norm(longer), layer_norm(stream.tokens), atol=1e-3)


def test_it_has_one_token_and_as_many_parameters_as_it_says():
    network = composed((3, 4), classes=None)
    assert (network.facts.grid, network.facts.heads, network.backbone.classes) == ((1, 1), 1, None)
    width = 16
    linear = [(12, width), (width, width), (256, width), (width, width)]
    linear += 4 * [(width, 3 * width), (width, 4 * width), (4 * width, width)]
    linear += [(width, 2 * width), (width, 12)]
    assert sum(p.numel() for p in network.parameters()) == sum(a * b + b for a, b in linear)


def test_a_table_of_classes_has_a_row_for_none():
    assert composed((2,), classes=5).backbone.classes.weight.shape == (6, 16)


@pytest.mark.parametrize(
    "options", [{"width": 0}, {"width": 2.5}, {"depth": 0}, {"depth": -1}, {"width": 10**9}, {"heads": 2}]
)
def test_bad_options_are_refused(options):
    with pytest.raises(thalweg.ConfigError, match=r"backbone\." + next(iter(options))):
        composed((2,), **options)


@pytest.mark.parametrize("backbone", ["dit", "mmdit"])
@pytest.mark.parametrize("shape", [(2,), (7,), (3, 4), (1, 2, 3, 4)], ids=str)
def test_backbones_for_images_alone_say_so(backbone, shape):
    facts = thalweg.Facts(shape=shape, text=(3, 4))
    with pytest.raises(thalweg.ConfigError) as caught:
        thalweg.compose(backbone=backbone, facts=facts, device="meta")
    said = str(caught.value)
    assert said.startswith(f"backbone {backbone} is for images alone, of shape (channels, height, width)")
    assert f"the data have the shape {shape}; take a backbone for data of any shape" in said


def test_large_data_are_taken_too():
    network = composed((3, 64, 64))
    assert network.velocity(torch.randn(2, 3, 64, 64), torch.rand(2), Condition()).numel() == 2 * math.prod(
        (3, 64, 64)
    )
