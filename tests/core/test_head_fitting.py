"""Heads of a trained network: they learn, all else stays to the bit, and what cannot be is told."""

import pytest
import torch
from safetensors.torch import load_file

import thalweg
from released import ROWS, SIDE, layout
from shard_makers import make_shards
from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts
from thalweg.head_fitting import trainer_of_heads
from thalweg.objectives.velocity import VelocityConfig
from thalweg.training.step import Losses
from thalweg.training.trainer import Trainer
from thalweg.types import Batch, Condition, Head, Plan
from thalweg_authoring.numbers import randomised
from thalweg_authoring.reference import ReferenceBackboneConfig
from thalweg_backbones import import_weights
from thalweg_samplers import Euler, Internal
from tiny_runs import TINY, lines, tensor_files, tiny

FACTS = Facts(shape=(1, 8, 8), classes=10)
BACKBONE = {"type": "dit", "patch": 4, "width": 16, "depth": 4, "heads": 2}
ONE = {"branches": 1, "refiner": "none", "objectives": {"velocity": {}}, "backbone": BACKBONE}
TWO = {**TINY, "backbone": BACKBONE}
QUICK = ["training.batch_size=32", "training.precision=32-true", "training.log_every=1", "training.steps=6",
         "training.validate_every=0", "training.checkpoint_every=2"]  # fmt: skip
LONG = ["training.validate_every=20", "training.steps=60"]
HOW = {"accelerator": "cpu", "quiet": True}


def composed(**options):
    return randomised(thalweg.compose(**{"backbone": BACKBONE, "facts": FACTS} | options))


def digits():
    return thalweg.build("dataset", "digits")


def a_run(folder, top, **training):
    Trainer(tiny(top=top, steps=2, validate_every=0, **training), folder, **HOW).train()
    return folder


def same(before, after):
    """Whether all tensors of one are in the other, to the bit."""
    return before.keys() <= after.keys() and all(
        torch.equal(one, after[name]) for name, one in before.items()
    )


def fit(network, folder, *settings, after=(2,), **options):
    return thalweg.fit_heads(network, folder, after=after, settings=[*QUICK, *settings], **HOW, **options)


def test_the_trunk_stays_to_the_bit_and_the_heads_learn(tmp_path):
    run = a_run(tmp_path / "run", ONE)
    result = fit(run, tmp_path / "heads", "training.optimizer.lr=0.01", *LONG, after=[2, 1])
    before, fitted = thalweg.load(run), thalweg.load(tmp_path / "heads")
    assert same(before.state_dict(), fitted.state_dict())
    assert fitted.facts.head_depths == (1, 2)
    assert fitted.composition["heads"] == [1, 2]
    assert fitted.calibration.heads == (Head(1), Head(2))
    assert fitted.sampling["sampler"] == before.sampling["sampler"]
    assert result.model == tmp_path / "heads" / "model"
    found = lines(tmp_path / "heads")
    errors = {"velocity/head_1", "velocity/head_2"}
    assert found[0].keys() == {"step", "loss", "velocity", "grad_norm", "lr"} | errors
    for depth in (1, 2):
        held_out = [one[f"validation/velocity/head_{depth}"] for one in found if "validation/loss" in one]
        assert held_out == sorted(held_out, reverse=True)
        assert held_out[-1] < 0.9 * held_out[0]
    # So do the live weights beside the EMA weights, in the checkpoint.
    newest = sorted((tmp_path / "heads" / "checkpoints").iterdir())[-1]
    assert same(before.state_dict(), load_file(newest / "network.safetensors"))
    with torch.no_grad():
        x, t = torch.randn(3, 1, 8, 8), torch.rand(3)
        assert torch.equal(*(one.velocity(x, t, Condition(torch.arange(3))) for one in (before, fitted)))


def test_a_fitted_head_guides(tmp_path):
    fit(composed(), tmp_path / "heads", data=digits())
    network = thalweg.load(tmp_path / "heads")

    def drawn(guidance):
        how = {"labels": [1, 2], "indices": [0, 1], "sampler": Euler(3), "precision": "32-true"}
        return thalweg.sample(network, guidance=guidance, **how).x

    plain = drawn("none")
    assert torch.equal(drawn(Internal(1.0, after=2)), plain)
    assert torch.equal(drawn(Internal("calibrated", 0.0, after=2)), plain)
    for guided in (drawn(Internal(1.5, after=2)), drawn(Internal("calibrated", after=2))):
        assert torch.isfinite(guided).all()
        assert not torch.equal(guided, plain)


def test_a_network_of_branches_gets_a_head_between_them(tmp_path):
    run = a_run(tmp_path / "run", TWO)
    # Behind a branch's end, and behind the refiner there, which are frozen as well.
    fit(run, tmp_path / "heads", after=[3])
    before, fitted = thalweg.load(run), thalweg.load(tmp_path / "heads")
    assert fitted.facts.weak_heads == (2, 3)
    assert same(before.state_dict(), fitted.state_dict())
    # One more beside it, of the run that was fitted: the first one stays as well.
    fit(tmp_path / "heads", tmp_path / "more", after=[1])
    more = thalweg.load(tmp_path / "more")
    assert more.facts.weak_heads == (1, 2, 3)
    assert same(fitted.state_dict(), more.state_dict())
    for after in ([2], [3], [2, 1]):
        with pytest.raises(ConfigError, match="where a branch ends" if 2 in after else "has a head after 3"):
            fit(tmp_path / "heads", tmp_path / "again", after=after)
    assert not (tmp_path / "again").exists()


def test_the_network_in_memory_is_left_as_it_is(tmp_path):
    network = composed()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    fit(network, tmp_path / "heads", data=digits())
    assert network.facts.head_depths == ()
    assert network.state_dict().keys() == before.keys()
    assert same(before, network.state_dict())
    assert all(one.requires_grad for one in network.parameters())


def test_a_network_put_together_by_hand_gets_heads_too(tmp_path):
    made = ReferenceBackboneConfig().build(FACTS)
    network = randomised(thalweg.FlowNetwork(made, facts=FACTS))
    after = [network.facts.depth - 1]
    fit(network, tmp_path / "heads", after=after, data=digits())
    again = thalweg.FlowNetwork(ReferenceBackboneConfig().build(FACTS), facts=FACTS)
    thalweg.add_heads(again, after)
    loaded = thalweg.load(tmp_path / "heads", network=again)
    assert same(network.state_dict(), loaded.state_dict())
    assert loaded.composition["heads"] == after
    fit(network, tmp_path / "heads", "training.steps=8", after=after, data=digits())


def test_an_imported_network_gets_a_head(tmp_path):
    weights = layout(variances=True)
    network = import_weights("sit", weights, heads=4, path="linear", prediction="velocity", classes=ROWS - 1)
    thalweg.save(tmp_path / "sit", network)
    make_shards(tmp_path / "latents", kind="posterior", shape=(4, SIDE, SIDE), classes=ROWS - 1, count=40)
    recipe = tmp_path / "data.toml"
    recipe.write_text(
        'backbone = "dit"\n[objectives.velocity]\n[training]\nsteps = 9\nbatch_size = 8\n'
        f'[data]\ntype = "shards"\nurl = "{tmp_path / "latents"}"\nvalidation = 8\n'
    )
    settings = [one for one in QUICK if "batch_size" not in one]
    how = {"after": [2], "settings": settings, **HOW}
    with pytest.raises(ConfigError, match=r"belongs to no run.*give --data-of"):
        thalweg.fit_heads(tmp_path / "sit", tmp_path / "heads", **how)
    thalweg.fit_heads(tmp_path / "sit", tmp_path / "heads", data=recipe, **how)
    fitted = thalweg.load(tmp_path / "heads")
    assert same(network.state_dict(), fitted.state_dict())
    assert "batch_size = 8\n" in (tmp_path / "heads" / "config.toml").read_text()
    guided = Internal("calibrated", after=2)
    found = thalweg.sample(fitted, labels=[0, 9], indices=[0, 1], sampler=Euler(2), guidance=guided)
    assert torch.isfinite(found.x).all()


def test_a_resumed_fit_is_the_uninterrupted_one(tmp_path):
    run = a_run(tmp_path / "run", ONE)
    fit(run, tmp_path / "whole")
    fit(run, tmp_path / "parts", "training.steps=4")
    fit(run, tmp_path / "parts")
    assert tensor_files(tmp_path / "whole") == tensor_files(tmp_path / "parts")


def test_a_fit_is_not_resumed_on_other_weights(tmp_path):
    run, other = a_run(tmp_path / "run", ONE), a_run(tmp_path / "other", ONE, optimizer={"lr": 0.01})
    fit(run, tmp_path / "heads", "training.steps=4")
    with pytest.raises(DataError, match=r"of a network with other weights .*choose another --run-dir"):
        fit(other, tmp_path / "heads")
    with pytest.raises(ConfigError, match="belongs to a run with another configuration: heads"):
        fit(run, tmp_path / "heads", after=[1])
    with pytest.raises(ConfigError, match="belongs to a run with another configuration"):
        fit(run, run)


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ([4], "heads has 4, and an intermediate head stands after 1 to 3 of the 4 blocks"),
        ([0], "stands after 1 to 3"),
        ([2, 2], "heads has 2 twice"),
        ([], "no head is named"),
        (2, "give the numbers of blocks"),
    ],
)
def test_depths_that_cannot_be_are_told(tmp_path, after, said):
    with pytest.raises(ConfigError, match=said):
        fit(composed(), tmp_path / "heads", after=after, data=digits())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("heads=[1]", "'heads' cannot be changed here: the network stays as it is"),
        ("objectives.velocity.heads=0.5", "'objectives.velocity.heads' cannot be changed here"),
        ("backbone.depth=5", "'backbone.depth' cannot be"),
        ("branches=2", "'branches' cannot be"),
        ("refiner=plain", "'refiner' cannot be"),
        ("interpolant=cosine", "'interpolant' cannot be"),
        ("training.step=5", "did you mean 'steps'"),
        ("training.condition_dropout=0.0", "trained with condition dropout; leave it above 0"),
    ],
)
def test_settings_of_the_network_are_refused(tmp_path, setting, said):
    with pytest.raises(ConfigError, match=said):
        fit(composed(), tmp_path / "heads", setting, data=digits())
    assert list(tmp_path.iterdir()) == []


def test_data_that_do_not_fit_are_refused(tmp_path):
    other = composed(facts=Facts(shape=(1, 8, 8), classes=3))
    with pytest.raises(ConfigError, match="give the data that it was trained on"):
        fit(other, tmp_path / "heads", data=digits())
    thalweg.save(tmp_path / "model", composed())
    for place in (tmp_path / "model", tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match="is neither a recipe nor a run"):
            fit(composed(), tmp_path / "heads", data=place)
    Trainer(tiny(top=ONE, steps=2, validate_every=0), tmp_path / "run", dataset=digits(), **HOW).train()
    with pytest.raises(ConfigError, match=r"made in Python.*give --data-of \(data in Python\)"):
        fit(tmp_path / "run", tmp_path / "heads")
    with pytest.raises(DataError, match="holds no network"):
        fit(tmp_path / "nowhere", tmp_path / "heads")
    with pytest.raises(ConfigError, match="network"):
        fit(3, tmp_path / "heads")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "run"]


def test_heads_are_shown_conditions_as_the_network_was(tmp_path):
    other = ["training.condition_dropout=0.3"]
    for known, setting, expected in ((True, [], 0.1), (False, [], 0.0), (True, other, 0.3)):
        network = composed(facts=Facts(shape=(1, 8, 8), classes=10, condition_dropout=known))
        made = trainer_of_heads(
            network, tmp_path / "run", after=[1], data=digits(), settings=[*QUICK, *setting], **HOW
        )
        assert made.config.training.condition_dropout == expected
        assert made.components.network.facts.condition_dropout is known
    without = composed(facts=Facts(shape=(1, 8, 8), classes=10, condition_dropout=False))
    with pytest.raises(ConfigError, match="trained without condition dropout; leave it 0"):
        fit(without, tmp_path / "heads", "training.condition_dropout=0.2", data=digits())


def test_blocks_behind_the_deepest_fitted_head_are_not_evaluated():
    network, passed = composed(heads=[1, 2]), []
    for number, block in enumerate(network.backbone.blocks):
        block.register_forward_hook(lambda *_, number=number: passed.append(number))
    draws = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(2, 1, 8, 8, generator=draws) for _ in range(2))
    plan = Plan.at(clean, noise, torch.rand(1, 2, generator=draws), network.interpolant)
    batch = Batch(clean, Condition(torch.tensor([0, 7])))
    whole = network(plan.x_t, plan.times, batch.condition)
    passed.clear()
    only = VelocityConfig(heads=1.0, only=[2]).build(network.facts)
    numbers = Losses(network, {"velocity": only})(plan, batch)
    assert passed == [0, 1]
    error = (whole.heads[2] - plan.velocity).square().mean()
    assert torch.allclose(numbers["loss"], error)
    assert numbers.keys() == {"loss", "velocity", "velocity/head_2"}
    # Another objective that reads on wants the whole pass.
    passed.clear()
    Losses(network, {"some": only, "all": VelocityConfig().build(network.facts)})(plan, batch)
    assert passed == [0, 1, 2, 3]
    with pytest.raises(ConfigError, match=r"after 3 blocks only, and the network has heads .* after 1, 2;"):
        VelocityConfig(only=[3]).build(network.facts)


def test_a_pass_that_ends_early_has_what_it_read():
    network = composed(refiner="plain", branches=2, heads=[3, 1])
    draws = torch.Generator().manual_seed(0)
    x, times = torch.randn(2, 1, 8, 8, generator=draws), torch.rand(2, 2, generator=draws)
    whole = network(x, times, Condition(torch.tensor([0, 7])))
    for until, branches in ((1, 0), (2, 1), (3, 1), (4, 2)):
        found = network(x, times, Condition(torch.tensor([0, 7])), until=until)
        assert list(found.heads) == [depth for depth in (1, 2, 3) if depth <= until]
        assert all(torch.equal(one, whole.heads[depth]) for depth, one in found.heads.items())
        assert len(found.velocities) == branches
        assert all(map(torch.equal, found.velocities, whole.velocities))
    with pytest.raises(ConfigError, match="no head after 5 blocks"):
        network(x, times, None, until=5)


def test_a_frozen_part_computes_as_in_sampling_while_others_train():
    network = composed(heads=[1])
    network.backbone.requires_grad_(False)
    losses = Losses(network, {"velocity": VelocityConfig().build(network.facts)}).train()
    assert not network.backbone.training
    assert not network.backbone.blocks[0].training
    assert network.velocity_heads.training
    assert network.velocity_readout.training
    network.backbone.requires_grad_(True)
    assert losses.train()
    assert network.backbone.training


def test_added_heads_change_nothing_else():
    network = composed(heads=[3])
    x, t, labels = torch.randn(2, 1, 8, 8), torch.rand(1, 2), Condition(torch.tensor([0, 7]))
    before, kept = network(x, t, labels), network.velocity_heads["3"]
    thalweg.add_heads(network, [2, 1])
    assert list(network.velocity_heads) == ["1", "2", "3"]
    assert network.velocity_heads["3"] is kept
    after = network(x, t, labels)
    assert torch.equal(before.velocities[0], after.velocities[0])
    assert torch.equal(before.heads[3], after.heads[3])
    assert not after.heads[1].any()
    assert not after.heads[2].any()
    same_again = thalweg.compose(**network.composition, facts=FACTS)
    assert same_again.state_dict().keys() == network.state_dict().keys()
    with pytest.raises(ConfigError, match="has a head after 3 blocks already; leave it out"):
        thalweg.add_heads(network, [3])


def test_clipping_is_of_the_heads_where_nothing_else_moves(tmp_path):
    fit(composed(), tmp_path / "heads", "training.max_grad_norm=1e-6", "training.steps=2", data=digits())
    norms = [one["grad_norm"] for one in lines(tmp_path / "heads")]
    assert all(norm > 1e-3 for norm in norms)
    assert not any("grad_norm/heads" in one for one in lines(tmp_path / "heads"))
    newest = sorted((tmp_path / "heads" / "checkpoints").iterdir())[-1]
    moments = load_file(newest / "optimizer.safetensors")
    # The first moment of clipped gradients: their norm is at most 1 - beta_1 of what was let through, twice.
    first = [tensor for name, tensor in moments.items() if name.endswith("exp_avg")]
    assert 0 < float(torch.cat([one.flatten() for one in first]).norm()) <= 0.2e-6
