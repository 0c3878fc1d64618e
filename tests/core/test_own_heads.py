"""Heads that end no branch: what they read, that they leave the rest alone, and how they are trained."""

import pytest
import torch
from torch.nn.utils import clip_grad_norm_

import thalweg
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.training.step import Losses
from thalweg.training.trainer import Trainer
from thalweg.types import Batch, Condition, Head, Plan
from thalweg_authoring.numbers import randomised
from tiny_runs import lines, tensor_files, tiny

FACTS = Facts(shape=(4, 8, 8), classes=10)
BACKBONE = {"type": "dit", "width": 32, "heads": 4, "depth": 6}
CONDITION = Condition(torch.tensor([0, 7]))
PLAIN = {"branches": 1, "refiner": "none", "objectives": {"velocity": {}}}
DEEP = {**PLAIN, "backbone": {"type": "dit", "patch": 4, "width": 16, "depth": 4, "heads": 2}}
CLIPPED = {"max_grad_norm": 0.2, "validate_every": 0}


def composed(*depths, seed=0, **options):
    return randomised(
        thalweg.compose(backbone=BACKBONE, heads=list(depths), facts=FACTS, seed=seed, **options)
    )


def inputs(branches=1):
    draws = torch.Generator().manual_seed(2)
    return torch.randn(2, 4, 8, 8, generator=draws), torch.rand(branches, 2, generator=draws)


def trained(folder, top, **training):
    Trainer(tiny(top=top, **training), folder, accelerator="cpu", quiet=True).train()
    return folder


def weights(folder):
    return thalweg.load(folder).state_dict()


def test_a_head_reads_the_tokens_after_its_block():
    network, (x_t, times_kN) = composed(2, 5), inputs()
    prediction = network(x_t, times_kN, CONDITION, hidden=(2, 5))
    c = network.backbone.condition(times_kN[0], CONDITION)
    assert list(prediction.heads) == [2, 5]
    for depth in (2, 5):
        read = network.velocity_heads[str(depth)](prediction.hidden[depth], c)
        assert torch.equal(prediction.heads[depth], read)
    assert not network(x_t, times_kN, CONDITION, last_only=True).heads
    assert network.facts.weak_heads == network.facts.head_depths == (2, 5)


def test_intermediate_heads_are_those_of_branches_and_others():
    network = composed(1, 5, refiner="plain", branches=3)
    x_t, times_kN = inputs(3)
    prediction = network(x_t, times_kN, CONDITION)
    assert network.facts.weak_heads == tuple(prediction.heads) == (1, 2, 4, 5)
    assert prediction.heads[2] is prediction.velocities[0]
    # Each at the time of the branch that it stands in.
    moved = times_kN.clone()
    moved[0] *= 0.5
    again = network(x_t, moved, CONDITION)
    assert not torch.equal(again.heads[1], prediction.heads[1])
    c = network.backbone.condition(times_kN[2], CONDITION)
    tokens = network(x_t, times_kN, CONDITION, hidden=(5,)).hidden[5]
    assert torch.equal(prediction.heads[5], network.velocity_heads["5"](tokens, c))


def test_a_pass_ends_with_the_deepest_head_that_is_wanted():
    network, (x_t, times_kN) = composed(2, 5), inputs()
    whole, passed = network(x_t, times_kN, CONDITION), []
    for number, block in enumerate(network.backbone.blocks):
        block.register_forward_hook(lambda *_, number=number: passed.append(number))
    for wanted, blocks in (((2,), 2), ((5, 2), 5), ((2, -1), 6)):
        passed.clear()
        found = network.heads(x_t, times_kN[0], CONDITION, wanted)
        assert passed == list(range(blocks))
        assert network.share(wanted) == blocks / 6
        for depth, velocity in zip(wanted, found, strict=True):
            assert torch.equal(velocity, whole.velocities[0] if depth == -1 else whole.heads[depth])


def test_a_corrected_head_takes_half_of_the_acceleration_off():
    vera = {"type": "vera", "channels": [16]}
    network, (x_t, times_kN) = composed(refiner=vera, branches=2), inputs(2)
    t = times_kN[0]
    corrected, plain = network.heads(x_t, t, CONDITION, (Head(3, "corrected"), 3))
    (a,) = network(x_t, t, CONDITION).readouts["acceleration"]
    assert torch.allclose(corrected, plain - t.view(-1, 1, 1, 1) * a / 2)
    # At the acceleration that minimises its loss it is the exact velocity.
    clean = torch.randn(2, 4, 8, 8)
    exact = (x_t - clean) / t.view(-1, 1, 1, 1)
    a = 2 * (clean - x_t + t.view(-1, 1, 1, 1) * plain) / t.view(-1, 1, 1, 1).square()
    assert torch.allclose(plain - t.view(-1, 1, 1, 1) * a / 2, exact, atol=1e-4)
    other = composed(refiner=vera, branches=2, interpolant="cosine")
    with pytest.raises(ConfigError, match="of the linear path alone"):
        other.heads(x_t, t, CONDITION, (Head(3, "corrected"),))


def test_blocks_can_be_left_out():
    network, (x_t, times_kN) = composed(2), inputs()
    t = times_kN[0]
    backbone, c = network.backbone, network.backbone.condition(t, CONDITION)
    stream = backbone.run(backbone.embed(x_t, CONDITION), c, 0, 1)
    expected = network.velocity_readout(backbone.run(stream, c, 4, 6).tokens, c)
    without = network.without(1, 4)
    assert torch.equal(without.velocity(x_t, t, CONDITION), expected)
    assert without.cost == 0.5


@pytest.mark.parametrize(
    ("heads", "said"),
    [
        ([6], "stands after 1 to 5 of the 6 blocks"),
        ([0], "stands after 1 to 5"),
        ([2, 2], "heads has 2 twice"),
        ([3], "3, where a branch ends"),
        ("3", "give the numbers of blocks"),
        ([2.0], "give the numbers of blocks"),
        (3, "give the numbers of blocks"),
    ],
)
def test_heads_that_cannot_be_there_are_told(heads, said):
    with pytest.raises(ConfigError, match=said):
        thalweg.compose(backbone=BACKBONE, refiner="plain", branches=2, heads=heads, facts=FACTS)


def test_a_network_with_heads_is_composed_and_saved_as_one(tmp_path):
    for detached in (True, False):
        network = composed(5, 2, detach_heads=detached)
        assert network.composition["heads"] == [2, 5]
        thalweg.save(tmp_path / "saved", network)
        again = thalweg.load(tmp_path / "saved")
        assert (again.facts.head_depths, again.detach_heads) == ((2, 5), detached)
        x_t, times_kN = inputs()
        one, other = (each(x_t, times_kN, CONDITION).heads[5] for each in (network, again))
        assert torch.equal(one, other)


def test_detached_heads_leave_the_rest_as_it_would_be(tmp_path):
    plain = trained(tmp_path / "plain", DEEP, **CLIPPED)
    detached = trained(tmp_path / "heads", {**DEEP, "heads": [3, 1]}, **CLIPPED)
    before, after = weights(plain), weights(detached)
    assert before.keys() < after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert {name.split(".")[1] for name in after.keys() - before.keys()} == {"1", "3"}
    ours, theirs = lines(plain), lines(detached)
    assert [one["grad_norm"] for one in ours] == [one["grad_norm"] for one in theirs]
    assert all(one["grad_norm"] > 0.2 for one in ours)  # clipped, and by the same factor
    assert [one["velocity/branch_1"] for one in ours] == [one["velocity/branch_1"] for one in theirs]
    # They learn, each by itself.
    for depth in (1, 3):
        errors = [one[f"velocity/head_{depth}"] for one in theirs]
        assert errors[-1] < errors[0]
    supervised = trained(tmp_path / "deep", {**DEEP, "heads": [3, 1], "detach_heads": False}, **CLIPPED)
    changed = weights(supervised)
    assert not all(torch.equal(tensor, changed[name]) for name, tensor in before.items())


def test_heads_have_a_clipping_group_of_their_own(tmp_path, monkeypatch):
    norms = []

    def watched(parameters, max_norm, **options):
        parameters = list(parameters)
        norm = clip_grad_norm_(parameters, max_norm, **options)
        norms.append((len(parameters), max_norm, float(norm)))
        return norm

    monkeypatch.setattr("thalweg.training.step.nn.utils.clip_grad_norm_", watched)
    folder = trained(tmp_path / "run", {**DEEP, "heads": [2]}, steps=2, **CLIPPED)
    found = lines(folder)
    own = [(limit, norm) for count, limit, norm in norms if count == 4]
    assert own == [(0.2, pytest.approx(one["grad_norm/heads"])) for one in found]


def test_gradients_of_detached_heads_end_at_their_layers():
    network = composed(2)
    _, times_kN = inputs()
    clean, noise = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    plan = Plan.at(clean, noise, times_kN, network.interpolant)
    losses = Losses(network, {"velocity": thalweg.VelocityConfig(heads=2.0).build(network.facts)})
    numbers = losses(plan, Batch(clean, CONDITION))
    prediction = network(plan.x_t, times_kN, CONDITION)
    errors = [
        (one - plan.velocity).square().mean() for one in (prediction.heads[2], prediction.velocities[0])
    ]
    assert torch.allclose(numbers["velocity"], 2 * errors[0] + errors[1])
    moved = torch.autograd.grad(errors[0], list(network.parameters()), allow_unused=True)
    names = {
        name for (name, _), one in zip(network.named_parameters(), moved, strict=True) if one is not None
    }
    assert names == {name for name, _ in network.named_parameters() if name.startswith("velocity_heads.2.")}


def test_a_resumed_run_with_heads_is_the_uninterrupted_one(tmp_path):
    top = {**DEEP, "heads": [2]}
    whole = trained(tmp_path / "whole", top, steps=6)
    trained(tmp_path / "parts", top, steps=4)
    parts = trained(tmp_path / "parts", top, steps=6)
    assert tensor_files(whole) == tensor_files(parts)
    with pytest.raises(ConfigError, match="heads"):
        trained(parts, {**DEEP, "heads": [1]}, steps=8)
