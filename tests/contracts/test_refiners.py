"""Every refiner between the branches of every backbone."""

import attrs
import pytest
import torch

import thalweg
from contracts.catalogue import FACTS, awake, captions, draws, names, network, small, variations
from thalweg.types import Condition

BRANCHES = 4
SHAPES = [(4, 8, 8), (3, 6, 10)]  # grids of 4 x 4 and of 3 x 5 for patches of 2
GAP = torch.tensor([0.01, -0.004])
LABELS = Condition(torch.tensor([0, 9]), text=captions(2))
EVERY = pytest.mark.parametrize("options", variations("refiner"))
BACKBONE = pytest.mark.parametrize("backbone", names("backbone"))
SHAPE = pytest.mark.parametrize("shape", SHAPES, ids=str)


def composed(options, backbone, shape=SHAPES[0], **more):
    facts = attrs.evolve(FACTS, shape=shape)
    return network(small("backbone", backbone), options, BRANCHES, facts, **more)


def inputs(net, seed=0):
    tokens = net.facts.grid[0] * net.facts.grid[1]
    return draws(2, 2, tokens, net.facts.width, seed=seed).unbind()


def question(net, seed=0):
    times = torch.rand(BRANCHES, 2, generator=torch.Generator().manual_seed(seed))
    return draws(2, *net.facts.shape, seed=seed), times, LABELS


@EVERY
@BACKBONE
@SHAPE
def test_shapes_dtypes_and_accelerations(options, backbone, shape):
    net = composed(options, backbone, shape)
    tokens, patch_tokens = inputs(net)
    for boundary in range(BRANCHES - 1):
        refinement = net.refiner(tokens, patch_tokens, GAP, boundary)
        assert refinement.tokens.shape == tokens.shape
        assert refinement.tokens.dtype == torch.float32
        assert (refinement.acceleration is not None) == net.refiner.has_acceleration
        if refinement.acceleration is not None:
            assert refinement.acceleration.shape == tokens.shape
    prediction = net(*question(net))
    assert [v.shape for v in prediction.velocities] == [(2, *shape)] * BRANCHES
    expected = BRANCHES - 1 if net.refiner.has_acceleration else 0
    assert [a.shape for a in prediction.accelerations] == [(2, *shape)] * expected


@EVERY
@BACKBONE
@SHAPE
def test_autocast_to_bf16_stays_near(options, backbone, shape):
    net = composed(options, backbone, shape)
    exact = net(*question(net))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = net(*question(net))
    for near, far in zip(
        (*mixed.velocities, *mixed.accelerations), (*exact.velocities, *exact.accelerations), strict=True
    ):
        assert (near.float() - far).norm() < 0.1 * far.norm()


@EVERY
@BACKBONE
def test_gradients_reach_every_parameter_of_every_boundary(options, backbone):
    net = composed(options, backbone)
    prediction = net(*question(net))
    outputs = (*prediction.velocities, *prediction.accelerations)
    sum((out * draws(*out.shape, seed=index)).sum() for index, out in enumerate(outputs)).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


@EVERY
@BACKBONE
def test_each_refinement_reaches_its_own_boundary_alone(options, backbone):
    net = composed(options, backbone)
    counts = []
    for boundary in range(BRANCHES - 1):
        net.zero_grad()
        refinement = net.refiner(*inputs(net), GAP, boundary)
        if not refinement.tokens.requires_grad:
            pytest.skip("it has no parameters")
        (refinement.tokens.sum() + (refinement.tokens * inputs(net, 5)[0]).sum()).backward()
        counts.append({name for name, p in net.refiner.named_parameters() if p.grad is not None})
    assert counts[0] != counts[1]
    assert set.union(*counts) == {name for name, _ in net.refiner.named_parameters()}


@EVERY
@BACKBONE
def test_it_is_deterministic_and_leaves_its_input_alone(options, backbone):
    net = composed(options, backbone)
    tokens, patch_tokens = inputs(net)
    kept = tokens.clone(), patch_tokens.clone()
    first, second = (net.refiner(tokens, patch_tokens, GAP, 0) for _ in range(2))
    assert torch.equal(first.tokens, second.tokens)
    assert torch.equal(tokens, kept[0])
    assert torch.equal(patch_tokens, kept[1])


@EVERY
@BACKBONE
def test_a_sample_does_not_see_its_neighbours(options, backbone):
    net = composed(options, backbone)
    tokens, patch_tokens = inputs(net)
    both = net.refiner(tokens, patch_tokens, GAP, 1).tokens
    alone = net.refiner(tokens[1:], patch_tokens[1:], GAP[1:], 1).tokens
    torch.testing.assert_close(both[1:], alone)


@EVERY
@BACKBONE
def test_the_state_dict_holds_everything(options, backbone):
    first = composed(options, backbone)
    second = awake(composed(options, backbone), std=0.2)
    asked = question(first)
    assert not torch.allclose(first(*asked).velocities[-1], second(*asked).velocities[-1])
    second.load_state_dict(first.state_dict())
    for ours, theirs in zip(first(*asked).velocities, second(*asked).velocities, strict=True):
        assert torch.equal(ours, theirs)


@EVERY
@BACKBONE
def test_it_builds_on_the_meta_device(options, backbone):
    net = thalweg.compose(
        backbone=small("backbone", backbone), refiner=options, branches=2, facts=FACTS, device="meta"
    )
    assert {tensor.device.type for tensor in [*net.parameters(), *net.buffers()]} == {"meta"}
    x = torch.zeros(2, *FACTS.shape, device="meta")
    condition = Condition(text=captions(2).to("meta"))
    assert net(x, torch.zeros(2, 2, device="meta"), condition).velocities[0].shape == x.shape


@pytest.mark.parametrize("name", names("refiner"))
def test_defaults_build_on_the_meta_device(name):
    net = thalweg.compose(
        backbone=names("backbone")[0],
        refiner=name,
        branches=2,
        facts=attrs.evolve(FACTS, shape=(4, 32, 32)),
        device="meta",
    )
    assert {p.device.type for p in net.refiner.parameters()} <= {"meta"}
