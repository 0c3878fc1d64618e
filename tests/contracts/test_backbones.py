"""Every backbone: embedding, condition, blocks by ranges, read-outs."""

import math

import attrs
import pytest
import torch

import thalweg
from contracts.catalogue import FACTS, awake, captions, components, draws, names, small, variations
from thalweg.config import component
from thalweg.types import Condition

SHAPES = [(4, 8, 8), (1, 6, 10), (3, 16, 4)]
EVERY = pytest.mark.parametrize("options", variations("backbone"))
TEXT = captions(2)
LABELS = Condition(torch.tensor([0, 9]), text=TEXT)


def made(options, facts=FACTS, stirred=True):
    backbone = thalweg.compose(backbone=options, facts=facts).backbone
    return awake(backbone) if stirred else backbone


def through(backbone, x, t, condition):
    return backbone.run(
        backbone.embed(x, condition), backbone.condition(t, condition), 0, backbone.depth
    ).tokens


@EVERY
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("classes", [None, 10])
def test_shapes_on_every_rectangle(options, shape, classes):
    facts = attrs.evolve(FACTS, shape=shape, classes=classes)
    backbone = made(options, facts)
    condition = Condition(text=TEXT) if classes is None else LABELS
    stream = backbone.embed(draws(2, *shape), condition)
    assert stream.tokens.shape == (2, math.prod(backbone.grid), backbone.width)
    assert backbone.width % backbone.heads == 0
    assert shape[1] * backbone.grid[1] == shape[2] * backbone.grid[0]
    c = backbone.condition(torch.tensor([0.0, 1.0]), condition)
    assert c.shape == (2, backbone.width)
    out = backbone.run(stream, c, 0, backbone.depth)
    assert out.tokens.shape == stream.tokens.shape
    assert out.tokens.dtype == torch.float32
    assert awake(backbone.readout())(out.tokens, c).shape == (2, *shape)


@EVERY
def test_ranges_of_blocks_compose_and_leave_their_input_alone(options):
    backbone = made(options)
    stream = backbone.embed(draws(2, 4, 8, 8), LABELS)
    c = backbone.condition(torch.tensor([0.2, 0.7]), LABELS)
    before = stream.tokens.clone()
    whole = backbone.run(stream, c, 0, backbone.depth).tokens
    assert torch.equal(stream.tokens, before)
    for cut in range(backbone.depth + 1):
        half = backbone.run(stream, c, 0, cut)
        assert torch.equal(backbone.run(half, c, cut, backbone.depth).tokens, whole)
    assert torch.equal(backbone.run(stream, c, 1, 1).tokens, stream.tokens)
    assert not torch.allclose(whole, stream.tokens)


@EVERY
def test_a_readout_starts_at_zero_and_is_new_each_time(options):
    backbone = made(options, stirred=False)
    first, second = backbone.readout(), backbone.readout()
    c = backbone.condition(torch.tensor([0.2, 0.7]), LABELS)
    tokens = draws(2, math.prod(backbone.grid), backbone.width)
    assert not first(tokens, c).any()
    assert {id(p) for p in first.parameters()}.isdisjoint(id(p) for p in second.parameters())
    assert {id(p) for p in first.parameters()}.isdisjoint(id(p) for p in backbone.parameters())
    assert awake(first)(tokens, c).std() > 0


@EVERY
def test_time_image_and_label_have_their_say(options):
    backbone = made(options)
    x, t = draws(2, 4, 8, 8), torch.tensor([0.3, 0.3])
    out = through(backbone, x, t, LABELS)
    assert torch.equal(out, through(backbone, x, t, LABELS))
    assert not torch.allclose(out, through(backbone, x + 1, t, LABELS))
    assert not torch.allclose(out, through(backbone, x, t + 0.2, LABELS))
    assert not torch.allclose(out, through(backbone, x, t, Condition(torch.tensor([1, 2]), text=TEXT)))


@EVERY
def test_hidden_labels_are_no_labels(options):
    backbone = made(options)
    x, t = draws(2, 4, 8, 8), torch.tensor([0.3, 0.6])
    others = captions(2, seed=7)._replace(empty_tokens=TEXT.empty_tokens, empty_mask=TEXT.empty_mask)
    nothing = through(backbone, x, t, Condition(text=others).null())
    assert torch.equal(through(backbone, x, t, LABELS.null()), nothing)
    half = through(backbone, x, t, LABELS._replace(dropped=torch.tensor([True, False])))
    torch.testing.assert_close(half[0], nothing[0])
    torch.testing.assert_close(half[1], through(backbone, x, t, LABELS)[1])
    assert not torch.allclose(half[1], nothing[1])


@EVERY
def test_a_sample_does_not_see_its_neighbours(options):
    backbone = made(options)
    x, t = draws(2, 4, 8, 8), torch.tensor([0.3, 0.6])
    both = through(backbone, x, t, LABELS)
    alone = through(backbone, x[1:], t[1:], LABELS.select(torch.tensor([1])))
    torch.testing.assert_close(both[1:], alone)


@EVERY
def test_gradients_reach_every_parameter(options):
    backbone = made(options)
    c = backbone.condition(torch.tensor([0.3, 0.6]), LABELS)
    stream = backbone.run(backbone.embed(draws(2, 4, 8, 8), LABELS), c, 0, backbone.depth)
    (stream.tokens * draws(*stream.tokens.shape, seed=3)).sum().backward()
    assert [name for name, p in backbone.named_parameters() if p.grad is None or not p.grad.any()] == []


@EVERY
def test_autocast_to_bf16_stays_near(options):
    backbone = made(options)
    x, t = draws(2, 4, 8, 8), torch.tensor([0.3, 0.6])
    exact = through(backbone, x, t, LABELS)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = through(backbone, x, t, LABELS)
    assert (mixed.float() - exact).norm() < 0.05 * exact.norm()


@EVERY
def test_the_state_dict_holds_everything(options):
    first = made(options)
    second = awake(made(options), std=0.3)
    x, t = draws(2, 4, 8, 8), torch.tensor([0.3, 0.6])
    assert not torch.allclose(through(first, x, t, LABELS), through(second, x, t, LABELS))
    second.load_state_dict(first.state_dict())
    assert torch.equal(through(first, x, t, LABELS), through(second, x, t, LABELS))


@pytest.mark.parametrize(("kind", "name"), components("backbone"))
def test_defaults_build_on_the_meta_device(kind, name):
    facts = attrs.evolve(FACTS, shape=(4, 32, 32))
    network = thalweg.compose(backbone=name, facts=facts, device="meta")
    tensors = [*network.parameters(), *network.buffers()]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    x = torch.zeros(2, *facts.shape, device="meta")
    condition = Condition(text=TEXT.to("meta"))
    velocity = network(x, torch.zeros(1, 2, device="meta"), condition).velocities[-1]
    assert velocity.shape == x.shape


@pytest.mark.parametrize("name", names("backbone"))
def test_initial_weights_follow_the_torch_generator(name):
    def weights():
        torch.manual_seed(3)
        return component("backbone", small("backbone", name)).build(FACTS).state_dict()

    first, second = weights(), weights()
    assert all(torch.equal(first[key], second[key]) for key in first)
