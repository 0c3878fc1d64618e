"""Token routing: which tokens pass which blocks, in training alone; what is read where; what is refused."""

import math
import subprocess
import sys

import pytest
import torch

import thalweg
from contracts.catalogue import names
from thalweg.config.routing import RoutingConfig
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.training.step import Losses
from thalweg.training.token_routing import TokenRouting
from thalweg.training.trainer import Trainer
from thalweg.types import Batch, Condition, Plan, Routed
from thalweg_authoring.networks import conditioned
from thalweg_authoring.numbers import randomised
from tiny_runs import lines, tensor_files, tiny

FACTS = Facts(shape=(4, 8, 8), classes=10, text=(3, 6))
SMALL = {"width": 32, "heads": 4, "depth": 6, "patch": 2}
BACKBONES = {
    "dit": {"type": "dit", **SMALL},
    "mmdit": {"type": "mmdit", **SMALL},
    "lightningdit": {"type": "lightningdit", **SMALL},
    "in context": {"type": "lightningdit", **SMALL, "conditioning": "both", "value_residual": True},
    "checkpointing": {"type": "lightningdit", **SMALL, "value_residual": True, "checkpointing": True},
}
EVERY = pytest.mark.parametrize("name", BACKBONES)
CPU = torch.device("cpu")


def composed(name="lightningdit", **options):
    facts = FACTS if name == "mmdit" else Facts(shape=FACTS.shape, classes=FACTS.classes)
    return randomised(thalweg.compose(backbone=BACKBONES[name], facts=facts, **options))


def inputs(network, count=2):
    draw = torch.Generator().manual_seed(1)
    times = torch.rand(network.branches, count, generator=draw)
    return torch.randn(count, 4, 8, 8, generator=draw), times, conditioned(network.facts, count)


def routing(network, blocks=(2, 5), **options):
    return TokenRouting(RoutingConfig(blocks, **options), network)


def same(one, other):
    pairs = zip(
        (*one.velocities, *one.heads.values()), (*other.velocities, *other.heads.values()), strict=True
    )
    return all(torch.equal(a, b) for a, b in pairs)


@EVERY
@pytest.mark.parametrize("between", [{}, {"refiner": {"type": "vera", "channels": [16]}, "branches": 3}])
def test_where_no_token_goes_round_it_is_the_dense_network_bit_for_bit(name, between):
    network = composed(name, heads=[1, 3], **between)
    every = routing(network, keep=1.0).draw(2, 0, CPU)
    question = inputs(network)
    dense, found = network(*question, hidden=(3, 4)), network(*question, hidden=(3, 4), routed=every)
    assert same(dense, found)
    assert all(torch.equal(dense.hidden[depth], found.hidden[depth]) for depth in (3, 4))


@EVERY
def test_tokens_that_go_round_stand_where_they_stood(name):
    network = composed(name)
    some = routing(network, keep=0.25).draw(2, 3, CPU)
    hidden = network(*inputs(network), hidden=(1, 2, 4, 5, 6), routed=some).hidden
    passed = torch.zeros(2, 16, dtype=torch.bool).scatter(1, some.kept, True)
    assert passed.sum(1).tolist() == [4, 4]
    for depth in (2, 4, 5):
        moved = (hidden[depth] - hidden[1]).abs().sum(-1) > 0
        assert torch.equal(moved, passed)
    assert ((hidden[6] - hidden[5]).abs().sum(-1) > 0).all()


def test_those_that_pass_see_each_other_alone_at_their_own_places():
    """The blocks on the subset, run by the backbone itself."""
    network = composed("in context")
    some = routing(network, keep=0.5).draw(2, 3, CPU)
    x, times, condition = inputs(network)
    backbone = network.backbone
    c = backbone.condition(times[0], condition)
    first = backbone.run(backbone.embed(x, condition), c, 0, 1)
    index = some.kept[..., None].expand(-1, -1, 32)
    front = first.values.shape[1] - 16
    values = torch.cat([first.values[:, :front], first.values[:, front:].gather(1, index)], dim=1)
    subset = first._replace(tokens=first.tokens.gather(1, index), places=some.kept, values=values)
    inside = backbone.run(subset, c, 1, 5)
    whole = first._replace(tokens=first.tokens.scatter(1, index, inside.tokens), context=inside.context)
    expected = backbone.run(whole, c, 5, 6)
    found = network(x, times, condition, hidden=(5, 6), routed=some).hidden
    assert torch.equal(found[5], whole.tokens)
    assert torch.equal(found[6], expected.tokens)


@EVERY
def test_a_sample_that_goes_round_as_a_whole_is_that_of_path_drop_guidance(name):
    network = composed(name)
    x, times, condition = inputs(network)
    all_dropped = Routed(1, 5, torch.arange(16).expand(2, -1), torch.tensor([True, True]))
    skipped = network.without(1, 5).velocity(x, times[0], condition)
    found = network(x, times, condition, routed=all_dropped).velocities[-1]
    if name not in ("in context", "checkpointing"):
        assert torch.equal(found, skipped)
    else:
        # The last block mixes in values of the first one, which are there in both.
        assert torch.allclose(found, skipped, atol=1e-5)
    half = all_dropped._replace(dropped=torch.tensor([True, False]))
    mixed = network(x, times, condition, routed=half).velocities[-1]
    assert torch.allclose(mixed[0], found[0], atol=1e-5)
    assert torch.allclose(mixed[1], network(x, times, condition).velocities[-1][1], atol=1e-5)


@EVERY
@pytest.mark.parametrize("refiner", ["plain", "vera", "gated", "film"])
def test_it_works_between_all_refiners_with_gradients_to_every_weight(name, refiner):
    options = {"type": "vera", "channels": [16]} if refiner == "vera" else refiner
    network = composed(name, refiner=options, branches=3, heads=[1, 3])
    some = routing(network, (2, 5), keep=0.5).draw(2, 0, CPU)
    found = network(*inputs(network), routed=some)
    others = [one for each in found.readouts.values() for one in each]
    read = (*found.velocities, *found.heads.values(), *others)
    assert all(torch.isfinite(one).all() for one in read)
    sum((one * torch.randn_like(one)).sum() for one in read).backward()
    missing = [key for key, one in network.named_parameters() if one.grad is None]
    assert not missing


def test_draws_are_of_the_seed_and_uniform_over_tokens():
    network = composed()
    route = routing(network, keep=0.25, path_drop=0.2)
    one, again, other = (route.draw(4000, seed, CPU) for seed in (5, 5, 6))
    assert torch.equal(one.kept, again.kept)
    assert torch.equal(one.dropped, again.dropped)
    assert not torch.equal(one.kept, other.kept)
    assert one.kept.shape == (4000, 4)
    assert (one.kept.diff(dim=1) > 0).all()
    counts = one.kept.flatten().bincount(minlength=16)
    assert (counts - 1000).abs().max() < 5 * math.sqrt(1000 * 0.75)
    assert float(one.dropped.float().mean()) == pytest.approx(0.2, abs=0.03)


def test_training_is_routed_and_validation_is_not():
    network = composed()
    route = routing(network, keep=0.25)
    x, times, condition = inputs(network)
    plan = Plan.at(x, torch.randn_like(x), times, network.interpolant)
    batch, velocity = Batch(x, condition), thalweg.VelocityConfig().build(network.facts)
    routed, dense = (Losses(network, {"velocity": velocity}, routing=one) for one in (route, None))
    assert torch.equal(routed.eval()(plan, batch)["loss"], dense.eval()(plan, batch)["loss"])
    assert not torch.equal(routed.train()(plan, batch)["loss"], dense.train()(plan, batch)["loss"])
    assert torch.equal(routed(plan, batch)["loss"], routed(plan, batch)["loss"])


def test_behind_the_last_routed_step_all_tokens_pass():
    network = composed()
    route = routing(network, keep=0.25, stop_after=2)
    x, times, condition = inputs(network)
    plan = Plan.at(x, torch.randn_like(x), times, network.interpolant)
    batch, velocity = Batch(x, condition), thalweg.VelocityConfig().build(network.facts)
    routed, dense = (Losses(network, {"velocity": velocity}, routing=one) for one in (route, None))
    assert not torch.equal(routed(plan, batch, step=1)["loss"], dense(plan, batch, step=1)["loss"])
    assert torch.equal(routed(plan, batch, step=2)["loss"], dense(plan, batch, step=2)["loss"])


RUN = {
    "branches": 1,
    "refiner": "none",
    "heads": [3],
    "objectives": {"velocity": {}},
    "backbone": {"type": "lightningdit", "patch": 2, "width": 16, "depth": 4, "heads": 2},
}
ROUTED = {"blocks": [2, 3], "keep": 0.5, "path_drop": 0.2}


def test_a_routed_run_resumes_to_the_same_weights_and_samples_by_path_drop(tmp_path):
    def run(folder, steps):
        config = tiny(top=RUN, steps=steps, routing=ROUTED, checkpoint_every=3)
        Trainer(config, tmp_path / folder, accelerator="cpu", quiet=True).train()

    run("whole", 6)
    run("cut", 3)
    run("cut", 6)
    assert tensor_files(tmp_path / "whole") == tensor_files(tmp_path / "cut")
    network = thalweg.load(tmp_path / "whole")
    guidance = {"type": "path_drop", "skip": [2, 3]}
    found = thalweg.sample(network, indices=[0, 1], labels=[3, 4], guidance=guidance).x
    assert torch.isfinite(found).all()
    dense = tiny(top=RUN, steps=3)
    Trainer(dense, tmp_path / "dense", accelerator="cpu", quiet=True).train()
    losses = [
        next(line["loss"] for line in lines(tmp_path / one) if "loss" in line) for one in ("whole", "dense")
    ]
    assert losses[0] == pytest.approx(losses[1])  # read-outs begin at zero
    assert tensor_files(tmp_path / "dense") != tensor_files(tmp_path / "cut")


@pytest.mark.parametrize("name", sorted(set(names("backbone")) - {"dit", "lightningdit", "mmdit"}))
def test_backbones_of_one_token_are_refused_by_name(name):
    network = thalweg.compose(backbone=name, facts=Facts(shape=(2, 4, 4)))
    with pytest.raises(ConfigError, match="needs all of them; take a transformer"):
        routing(network)


@pytest.mark.parametrize(
    ("blocks", "words"),
    [((1, 3), "choose from 2 to 5"), ((2, 6), "choose from 2 to 5"), ((5, 9), "choose from 2 to 5")],
)
def test_all_tokens_pass_the_first_and_the_last_block(blocks, words):
    with pytest.raises(ConfigError, match=words):
        routing(composed(), blocks)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"blocks": [3, 2]}, "first and the last block, counted from 1"),
        ({"keep": 0.0}, "keep"),
        ({"path_drop": 1.0}, "path_drop"),
        ({"stop_after": 0}, "stop_after"),
    ],
)
def test_options_that_make_no_sense_are_named(changes, words):
    with pytest.raises(ConfigError, match=words):
        tiny(top=RUN, routing={**ROUTED, **changes})


def test_a_run_on_too_shallow_a_network_is_refused_before_it_begins(tmp_path):
    config = tiny(routing=ROUTED)
    with pytest.raises(ConfigError, match="blocks before and behind the routed ones, and the network has 2"):
        Trainer(config, tmp_path / "run", accelerator="cpu", quiet=True)
    assert not (tmp_path / "run").exists()


def test_compiled_it_gives_the_same_numbers():
    """In a process of its own: the type checker that runs under tests cannot be compiled."""
    script = """
import torch, thalweg
from thalweg.config.routing import RoutingConfig
from thalweg.training.token_routing import TokenRouting
from thalweg_authoring.numbers import randomised

backbone = {"type": "lightningdit", "width": 32, "heads": 4, "depth": 5, "patch": 2, "value_residual": True}
network = randomised(thalweg.compose(backbone=backbone, facts=thalweg.Facts(shape=(4, 8, 8)), heads=[3]))
x, t = torch.randn(2, 4, 8, 8), torch.rand(1, 2)
route = [TokenRouting(RoutingConfig((2, 4), keep), network) for keep in (0.5, 0.25)]
draws = [one.draw(2, seed, torch.device("cpu")) for one in route for seed in (0, 1)]
expected = [network(x, t, routed=one).velocities[-1] for one in draws]
network.compile_regions()
for one, wanted in zip(draws, expected):
    torch.testing.assert_close(network(x, t, routed=one).velocities[-1], wanted, rtol=1e-3, atol=1e-4)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_condition_of_none_is_routed_too():
    network = composed()
    some = routing(network).draw(2, 0, CPU)
    x, times, _ = inputs(network)
    assert torch.isfinite(network(x, times, Condition(), routed=some).velocities[-1]).all()
