import pytest
import torch
from torch import nn

import thalweg
from thalweg.facts import Facts
from thalweg.types import Boundary, Condition, Refinement
from thalweg_authoring.numbers import outputs

FACTS = Facts(shape=(4, 8, 8), classes=10)
BACKBONE = {"type": "dit", "width": 32, "heads": 4, "depth": 6}
VERA = {"type": "vera", "channels": [16]}


def composed(refiner=VERA, branches=3, randomised=True, **options):
    network = thalweg.compose(backbone=BACKBONE, refiner=refiner, branches=branches, facts=FACTS, **options)
    if randomised:
        generator = torch.Generator().manual_seed(1)
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.1, generator=generator)
    return network


def inputs(branches=3, count=2):
    generator = torch.Generator().manual_seed(2)
    x_t = torch.randn(count, 4, 8, 8, generator=generator)
    return x_t, torch.rand(branches, count, generator=generator), Condition(torch.arange(count))


@pytest.mark.parametrize(
    ("refiner", "branches", "accelerations"), [(None, 1, 0), ("plain", 3, 0), (VERA, 3, 2)]
)
def test_every_branch_answers(refiner, branches, accelerations):
    prediction = composed(refiner, branches)(*inputs(branches))
    assert [v.shape for v in prediction.velocities] == [(2, 4, 8, 8)] * branches
    read = prediction.readouts.get("acceleration", ())
    assert [a.shape for a in read] == [(2, 4, 8, 8)] * accelerations


def test_a_fresh_network_predicts_zero():
    prediction = composed(randomised=False)(*inputs())
    assert not any(v.any() for v in outputs(prediction))


def test_each_branch_reads_its_own_time():
    network, (x_t, times_kN, condition) = composed(), inputs()
    before = network(x_t, times_kN, condition).velocities
    later = times_kN.clone()
    later[2] = 1 - later[2]
    after = network(x_t, later, condition).velocities
    assert torch.equal(before[0], after[0])
    assert torch.equal(before[1], after[1])
    assert not torch.allclose(before[2], after[2])


def test_plain_deep_supervision_leaves_the_last_velocity_as_it_was():
    deep, single = composed("plain", 3), composed(None, 1)
    single.load_state_dict({name: deep.state_dict()[name] for name in single.state_dict()})
    x_t, times_kN, condition = inputs()
    same = times_kN[:1].expand(3, -1)
    expected = single(x_t, times_kN[:1], condition).velocities[-1]
    assert torch.equal(deep(x_t, same, condition).velocities[-1], expected)


def test_intermediate_branches_share_one_layer_and_the_last_has_its_own():
    network = composed()
    readouts = {
        name.split(".")[0] for name in network.state_dict() if "readout" in name or "velocity" in name
    }
    assert readouts == {"intermediate_velocity", "velocity_readout", "acceleration_readout"}


def test_velocity_is_the_last_branch_with_all_times_equal():
    network, (x_t, times_kN, condition) = composed(), inputs()
    t = times_kN[0]
    full = network(x_t, t.expand(3, -1), condition).velocities
    assert torch.equal(network.velocity(x_t, t.double(), condition), full[-1])
    assert len(network(x_t, times_kN, condition, last_only=True).velocities) == 1


def test_hidden_states_are_what_the_next_block_reads():
    network, (x_t, times_kN, condition) = composed(), inputs()
    hidden = network(x_t, times_kN, condition, hidden=(1, 2, 6)).hidden
    c = network.backbone.condition(times_kN[0], condition)
    stream = network.backbone.embed(x_t, condition)
    assert torch.equal(hidden[1], network.backbone.run(stream, c, 0, 1).tokens)
    ended = network.backbone.run(stream, c, 0, 2)
    boundary = Boundary(0, stream.tokens, c, times_kN[0], times_kN[1])
    assert torch.equal(hidden[2], network.refiner(ended, boundary).tokens)
    assert hidden.keys() == {1, 2, 6}


def test_the_order_of_hidden_depths_does_not_matter():
    network, (x_t, times_kN, condition) = composed(branches=2), inputs(2)
    plain = network(x_t, times_kN, condition).velocities
    keeping = network(x_t, times_kN, condition, hidden=(2, 1, 5, 4))
    assert all(map(torch.equal, keeping.velocities, plain))
    assert keeping.hidden.keys() == {1, 2, 4, 5}


@pytest.mark.parametrize("depth", [0, 7])
def test_depths_outside_the_network_are_named(depth):
    with pytest.raises(thalweg.ConfigError, match="after 1 to 6 blocks"):
        composed()(*inputs(), hidden=(depth,))


def test_gradients_reach_every_parameter():
    network = composed()
    prediction = network(*inputs())
    sum(x.square().sum() for x in outputs(prediction)).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_bf16_autocast_is_close_and_keeps_times_apart():
    network, (x_t, times_kN, condition) = composed(), inputs()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = network(x_t, times_kN, condition).velocities[-1]
        near = network.backbone.condition(torch.tensor([0.5000]), Condition())
        nearer = network.backbone.condition(torch.tensor([0.5005]), Condition())
    exact = network(x_t, times_kN, condition).velocities[-1]
    assert ((mixed.float() - exact).norm() / exact.norm()) < 0.05
    assert not torch.equal(near, nearer)


def test_a_strangers_refiner_and_backbone_work_together():
    class Halving(nn.Module):
        readouts = ()

        def forward(self, stream, boundary):
            return Refinement((stream.tokens + boundary.patch_tokens) / 2)

    network = thalweg.FlowNetwork(composed().backbone, Halving(), 3, facts=FACTS)
    assert len(network(*inputs()).velocities) == 3


@pytest.mark.parametrize(
    ("refiner", "branches", "words"),
    [(VERA, 4, "does not divide"), (None, 2, "refiner is none"), (VERA, 1, "refiner is set")],
)
def test_what_does_not_go_together_is_named(refiner, branches, words):
    with pytest.raises(thalweg.ConfigError, match=words):
        composed(refiner, branches)


@pytest.mark.parametrize("label", [-1, 10])
def test_labels_outside_the_classes_are_named(label):
    x_t, times_kN, _ = inputs()
    with pytest.raises(thalweg.DataError, match=f"label {label} lies outside 0..9"):
        composed()(x_t, times_kN, Condition(torch.tensor([0, label])))


def test_labels_for_an_unconditional_network_are_refused():
    network = thalweg.compose(backbone=BACKBONE, facts=Facts(shape=(4, 8, 8)))
    with pytest.raises(thalweg.DataError, match="unconditional"):
        network(*inputs(1))
    assert network(inputs()[0], torch.zeros(1, 2)).velocities[0].shape == (2, 4, 8, 8)
