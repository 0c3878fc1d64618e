"""Branches of any length, heads before and after the refiner, passes that stop early, named read-outs."""

import pytest
import torch
from torch import nn

import thalweg
from thalweg.branches import as_heads, ends_of
from thalweg.facts import Facts
from thalweg.types import Boundary, Condition, Head, Refinement
from thalweg_authoring.numbers import randomised

FACTS = Facts(shape=(4, 8, 8), classes=10)
BACKBONE = {"type": "dit", "width": 32, "heads": 4, "depth": 6}
VERA = {"type": "vera", "channels": [16]}
CONDITION = Condition(torch.tensor([0, 7]))


def composed(branches=3, refiner=VERA, **options):
    return randomised(
        thalweg.compose(backbone=BACKBONE, refiner=refiner, branches=branches, facts=FACTS, **options)
    )


def inputs(branches=3):
    generator = torch.Generator().manual_seed(2)
    return torch.randn(2, 4, 8, 8, generator=generator), torch.rand(branches, 2, generator=generator)


def counted(network):
    """The blocks that are passed, by number, as long as the list is kept."""
    passed = []
    for number, block in enumerate(network.backbone.blocks):
        block.register_forward_hook(lambda *_, number=number: passed.append(number))
    return passed


def test_branches_end_where_they_are_told_to():
    network, (x_t, times_kN) = composed([1, 4, 6]), inputs()
    assert network.facts.ends == (1, 4, 6)
    assert network.branches == 3
    hidden = network(x_t, times_kN, CONDITION, hidden=(1, 3)).hidden
    stream = network.backbone.embed(x_t, CONDITION)
    c = network.backbone.condition(times_kN[0], CONDITION)
    boundary = Boundary(0, stream.tokens, c, times_kN[0], times_kN[1])
    first = network.refiner(network.backbone.run(stream, c, 0, 1), boundary)
    assert torch.equal(hidden[1], first.tokens)
    later = network.backbone.condition(times_kN[1], CONDITION)
    assert torch.equal(hidden[3], network.backbone.run(stream.with_tokens(first.tokens), later, 1, 3).tokens)


def test_equal_branches_are_those_that_end_at_equal_depths():
    x_t, times_kN = inputs()
    answers = [one(x_t, times_kN, CONDITION).velocities for one in (composed(3), composed([2, 4, 6]))]
    assert all(map(torch.equal, *answers))


@pytest.mark.parametrize(
    ("branches", "said"),
    [
        ([2, 4], "the last one be the backbone's depth of 6"),
        ([4, 2, 6], "must rise"),
        ([0, 6], "must rise"),
        ([3, 3, 6], "must rise"),
        ([], "must rise"),
        ([2, 4, 8], "depth of 6"),
        (4, "does not divide"),
        (0, "does not divide"),
    ],
)
def test_branches_that_cannot_be_cut_are_told(branches, said):
    with pytest.raises(thalweg.ConfigError, match=said):
        ends_of(branches, 6, refined=True)


def test_branches_of_a_recipe_are_a_number_or_depths():
    from thalweg.config import RunConfig, dump, structure

    def recipe(branches):
        return {
            "data": "digits",
            "backbone": BACKBONE,
            "refiner": "plain",
            "branches": branches,
            "objectives": {"velocity": {}},
            "training": {"steps": 1, "batch_size": 2},
        }

    config = structure(RunConfig, recipe([2, 6]))
    assert config.branches == (2, 6)
    assert structure(RunConfig, dump(config)).branches == (2, 6)
    assert structure(RunConfig, recipe(2)).branches == 2
    for wrong, said in (([6, 2], "must be depths that rise"), ([6], "leaves the refiner nothing"), (0, "1")):
        with pytest.raises(thalweg.ConfigError, match=said):
            structure(RunConfig, recipe(wrong))


def test_each_branch_may_have_a_readout_of_its_own():
    network = composed(3, intermediate_readouts="own")
    own = {name.split(".")[1] for name in network.state_dict() if name.startswith("intermediate_velocities")}
    assert own == {"0", "1"}
    assert network.intermediate_velocity is None
    x_t, times_kN = inputs()
    before = network(x_t, times_kN, CONDITION).velocities
    with torch.no_grad():
        network.intermediate_velocities[1].projection.weight.mul_(2)
    after = network(x_t, times_kN, CONDITION).velocities
    assert torch.equal(before[0], after[0])
    assert not torch.allclose(before[1], after[1])
    assert torch.equal(before[2], after[2])
    again = thalweg.compose(**network.composition, facts=FACTS)
    again.load_state_dict(network.state_dict())
    assert torch.equal(again(x_t, times_kN, CONDITION).velocities[1], after[1])


def test_readouts_are_shared_or_own():
    with pytest.raises(thalweg.ConfigError, match="'shared' or 'own'"):
        composed(3, intermediate_readouts="both")


def test_one_time_a_sample_stands_for_all_branches():
    network, (x_t, times_kN) = composed(), inputs()
    t = times_kN[0]
    spread = network(x_t, t.expand(3, -1), CONDITION)
    short = network(x_t, t, CONDITION)
    assert all(map(torch.equal, short.velocities, spread.velocities))


def test_heads_are_the_velocities_of_their_branches():
    network, (x_t, times_kN) = composed(), inputs()
    t = times_kN[0]
    whole = network(x_t, t, CONDITION).velocities
    found = network.heads(x_t, t.double(), CONDITION, (2, 4, -1))
    assert all(map(torch.equal, found, whole))
    assert torch.equal(network.heads(x_t, t, CONDITION, (Head(6),))[0], whole[2])


def test_a_refined_head_reads_what_the_next_branch_reads():
    network, (x_t, times_kN) = composed(), inputs()
    t = times_kN[0]
    refined, plain = network.heads(x_t, t, CONDITION, (Head(2, "refined"), 2))
    tokens = network(x_t, t, CONDITION, hidden=(2,)).hidden[2]
    c = network.backbone.condition(t, CONDITION)
    assert torch.equal(refined, network.intermediate_velocity(tokens, c))
    assert not torch.allclose(refined, plain)


def test_a_pass_ends_with_the_last_branch_that_is_wanted():
    network, (x_t, times_kN) = composed([1, 4, 6]), inputs()
    passed = counted(network)
    for wanted, blocks in (((1,), 1), ((1, 4), 4), ((Head(4, "refined"),), 4), ((1, -1), 6)):
        passed.clear()
        network.heads(x_t, times_kN[0], CONDITION, wanted)
        assert passed == list(range(blocks))
        assert network.share(wanted) == blocks / 6
    assert network.share() == 1


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ((3,), "no head after 3 blocks; the network has some after 2, 4 and 6"),
        ((-4,), "no head after -4"),
        ((), "name at least one"),
        ((Head(6, "refined"),), "the last head has no refiner behind it"),
        ((Head(4, "corected"),), "must be 'plain', 'refined' or 'corrected'"),
        ((Head(4, "corrected"),), "needs an acceleration"),
        ((Head("0"),), "no head after '0'"),
    ],
)
def test_heads_that_are_not_there_are_told(wanted, said):
    with pytest.raises(thalweg.ConfigError, match=said):
        as_heads(wanted, Facts(shape=(2,), branches=3, ends=(2, 4, 6), depth=6))


class Twofold(nn.Module):
    """One module for all boundaries, which feeds two read-outs."""

    readouts = ("curvature", "doubt")

    def forward(self, stream, boundary):
        features = {"curvature": stream.tokens + boundary.patch_tokens, "doubt": -stream.tokens}
        return Refinement(stream.tokens, features)


def test_a_refiner_names_the_readouts_that_it_feeds():
    network = thalweg.FlowNetwork(composed().backbone, Twofold(), [2, 6], facts=FACTS)
    randomised(network)
    assert network.facts.readouts == ("curvature", "doubt")
    keys = {name.split(".")[0] for name in network.state_dict()}
    assert {"curvature_readout", "doubt_readout"} <= keys
    x_t, times_kN = inputs(2)
    prediction = network(x_t, times_kN, CONDITION)
    assert {name: len(found) for name, found in prediction.readouts.items()} == {"curvature": 1, "doubt": 1}
    tokens = network.backbone.run(
        network.backbone.embed(x_t, CONDITION), c := network.backbone.condition(times_kN[0], CONDITION), 0, 2
    ).tokens
    assert torch.equal(prediction.readouts["doubt"][0], network.readout("doubt")(-tokens, c))
    assert not network(x_t, times_kN, CONDITION, last_only=True).readouts


@pytest.mark.parametrize("readouts", [None, "acceleration", ("a b",), ("velocity",), (1,)])
def test_readouts_that_are_no_names_are_told(readouts):
    refiner = Twofold()
    refiner.readouts = readouts
    with pytest.raises(thalweg.PluginError, match="tuple of names"):
        thalweg.FlowNetwork(composed().backbone, refiner, 2, facts=FACTS)


def test_a_readout_without_features_is_told():
    refiner = Twofold()
    refiner.readouts = ("curvature", "third")
    network = thalweg.FlowNetwork(composed().backbone, refiner, 2, facts=FACTS)
    with pytest.raises(thalweg.PluginError, match="states the read-out 'third'"):
        network(*inputs(2))


def test_a_network_built_by_hand_reads_its_facts_off_its_parts():
    donor = composed()
    network = thalweg.FlowNetwork(donor.backbone, donor.refiner, 3, facts=FACTS)
    facts = network.facts
    assert (facts.depth, facts.width, facts.heads, facts.grid) == (6, 32, 4, (4, 4))
    assert (facts.branches, facts.ends, facts.readouts) == (3, (2, 4, 6), ("acceleration",))
