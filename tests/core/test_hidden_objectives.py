"""Objectives of hidden states alone: layer_sync and dispersive."""

import math

import attrs
import pytest
import torch

from objective_steps import FACTS, built, composed, hidden_step, planned
from thalweg.config import component
from thalweg.errors import ConfigError, DataError
from thalweg.training.step import Losses
from thalweg_authoring.numbers import draws

NETWORK = composed(depth=4)


def of_depth(depth):
    return attrs.evolve(FACTS, depth=depth, width=16, heads=2, grid=(4, 4))


def valued(objective, *states):
    plan, batch = planned(NETWORK, count=len(states[0]))
    return objective(hidden_step(NETWORK, objective, plan, batch, *states))


# layer_sync.


def test_it_is_minus_the_cosine_and_knows_no_length():
    objective = built(NETWORK.facts, "layer_sync")
    early = draws(4, 16, 8)
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0]).view(-1, 1, 1)
    value = valued(objective, early, 7 * signs * early)
    torch.testing.assert_close(value.total, torch.tensor([-1.0, 1.0, -1.0, 1.0]))
    across = torch.zeros(2, 16, 8)
    across[..., 0] = 1
    torch.testing.assert_close(valued(objective, across, across.roll(1, -1)).total, torch.zeros(2))
    # Half of the tokens agree.
    half = torch.where(torch.arange(16).view(1, -1, 1) < 8, across, across.roll(1, -1))
    torch.testing.assert_close(valued(objective, across, half).total, torch.full((2,), -0.5))


def test_only_the_early_state_learns():
    early, late = (draws(3, 16, 8, seed=seed).requires_grad_() for seed in (1, 2))
    valued(built(NETWORK.facts, "layer_sync"), early, late).total.sum().backward()
    assert early.grad.any()
    assert late.grad is None


def test_of_the_network_only_what_comes_before_the_early_state_learns():
    losses = Losses(NETWORK, {"layer_sync": built(NETWORK.facts, "layer_sync", early=2, late=3)})
    losses(*planned(NETWORK))["loss"].backward()
    moved = [
        any(one.grad is not None and one.grad.any() for one in block.parameters())
        for block in NETWORK.backbone.blocks
    ]
    NETWORK.zero_grad(set_to_none=True)
    assert moved == [True, True, False, False]


@pytest.mark.parametrize(
    ("depth", "depths"), [(28, (8, 16)), (12, (3, 7)), (6, (2, 3)), (4, (1, 2)), (3, (1, 2))]
)
def test_depths_are_shares_of_the_networks(depth, depths):
    assert built(of_depth(depth), "layer_sync").hidden == depths


@pytest.mark.parametrize("depth", range(3, 65))
def test_the_defaults_are_never_refused(depth):
    early, late = built(of_depth(depth), "layer_sync").hidden
    assert depth / 8 < early < late <= 0.8 * depth


@pytest.mark.parametrize(
    ("depth", "options", "said"),
    [
        (28, {"late": 23}, "late is 23, in the last fifth of 28 blocks: .* choose at most 22"),
        (28, {"early": 3}, "early is 3, among the first blocks of 28: .* choose at least 4"),
        (28, {"early": 16}, "would lean block 16 on block 16; .* smaller early or a larger late"),
        (28, {"early": 29}, "early is 29 and the network has 28 blocks; read after 1 to 28"),
        (2, {}, "the network has 2, too few for both; give the backbone at least 3"),
    ],
)
def test_depths_that_teach_nothing_are_refused(depth, options, said):
    with pytest.raises(ConfigError, match=said):
        built(of_depth(depth), "layer_sync", **options)


# dispersive.


def test_two_samples():
    """log mean of (1, 1, e^-d, e^-d) with d = |z_1 - z_2|^2 / (dim tau)."""
    objective = built(NETWORK.facts, "dispersive", tau=0.25)
    z = torch.zeros(2, 4, 8)
    z[1] = 0.5
    value = valued(objective, z)
    assert value.total.shape == ()
    assert float(value.total) == pytest.approx(math.log((1 + math.exp(-0.25 / 0.25)) / 2), rel=1e-5)
    assert float(value.parts["distance"]) == pytest.approx(0.25 / 2)


def test_it_lies_between_all_alike_and_all_far_apart():
    objective = built(NETWORK.facts, "dispersive")
    assert float(valued(objective, torch.ones(6, 4, 8)).total) == pytest.approx(0, abs=1e-6)
    assert float(valued(objective, 1000 * draws(6, 4, 8)).total) == pytest.approx(-math.log(6))
    z = draws(6, 4, 8)
    assert -math.log(6) < valued(objective, z).total < 0


def test_neither_the_order_nor_a_common_offset_counts():
    objective = built(NETWORK.facts, "dispersive")
    z = draws(6, 4, 8)
    expected = valued(objective, z).total
    torch.testing.assert_close(valued(objective, z[[3, 1, 0, 5, 4, 2]]).total, expected)
    torch.testing.assert_close(valued(objective, z + 300).total, expected, rtol=1e-3, atol=1e-4)


def test_its_gradient_is_finite_and_pushes_apart():
    objective = built(NETWORK.facts, "dispersive")
    z = torch.zeros(3, 1, 2)
    z[1], z[2] = 0.1, -0.1
    z.requires_grad_()
    valued(objective, z).total.backward()
    assert (z.grad[1] < 0).all()  # a step against it leads on, away from the others
    assert (z.grad[2] > 0).all()
    same = torch.ones(3, 4, 8, requires_grad=True)
    valued(objective, same).total.backward()
    assert torch.isfinite(same.grad).all()


def test_it_is_one_number_of_the_batch_in_the_loss_and_weighs_half():
    objective = built(NETWORK.facts, "dispersive")
    numbers = Losses(NETWORK, {"dispersive": objective})(*planned(NETWORK))
    torch.testing.assert_close(numbers["loss"], 0.5 * numbers["dispersive"])


def test_a_single_sample_is_refused_in_training_and_passed_in_validation():
    objective = built(NETWORK.facts, "dispersive")
    with pytest.raises(
        DataError, match=r"objectives\.dispersive compares samples of a batch and a process holds"
    ):
        valued(objective, torch.ones(1, 4, 8))
    with torch.no_grad():
        assert float(valued(objective, torch.ones(1, 4, 8)).total) == 0


@pytest.mark.parametrize(("depth", "after"), [(28, 7), (12, 3), (4, 1), (1, 1)])
@pytest.mark.parametrize("name", ["dispersive", "latent_alignment"])
def test_they_read_at_a_quarter_of_the_depth(name, depth, after):
    assert built(of_depth(depth), name).hidden == (after,)
    assert built(of_depth(depth), name, after=1).hidden == (1,)


@pytest.mark.parametrize("name", ["dispersive", "latent_alignment", "self_alignment"])
def test_depths_beyond_the_networks_are_refused(name):
    with pytest.raises(
        ConfigError, match=rf"objectives\.{name}\.after is 5 and the network has 4 blocks; rea"
    ):
        built(NETWORK.facts, name, after=5)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("dispersive", {"tau": 0.0}),
        ("dispersive", {"after": 0}),
        ("dispersive", {"weight": -1.0}),
        ("layer_sync", {"early": 0}),
        ("layer_sync", {"weight": -1.0}),
    ],
)
def test_options_out_of_range_are_refused(name, options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        component("objective", {"type": name, **options})
