"""Contrastive flow matching: who is paired with whom, and where it leads."""

import attrs
import pytest
import torch

from objective_steps import built, composed, planned, step_of
from thalweg import Trainer
from thalweg.errors import DataError
from thalweg.objectives.contrastive import partners
from thalweg.training.components import build_components
from thalweg.training.step import Losses, has_unused
from thalweg.types import Batch, Condition, Prediction
from tiny_runs import lines, tiny

NETWORK = composed()


def valued(velocity, plan, batch, **options):
    return built(NETWORK.facts, "contrastive", **options)(
        step_of(NETWORK, plan, batch, Prediction((velocity,)))
    )


@pytest.mark.parametrize(
    ("labels", "others", "paired"),
    [
        ([0, 0, 1, 2, 0], [2, 2, 3, 4, 2], [True] * 5),
        ([0, 1, 0, 1], [1, 2, 3, 0], [True] * 4),
        ([3, 3, 3], None, [False] * 3),
        ([5], None, [False]),
        ([1, 1, 0], [2, 2, 0], [True] * 3),
    ],
)
def test_the_other_is_the_next_sample_of_another_class(labels, others, paired):
    found, there = partners(len(labels), torch.tensor(labels), torch.device("cpu"))
    assert there.tolist() == paired
    assert others is None or found.tolist() == others


def test_without_labels_it_is_the_next_sample():
    found, there = partners(4, None, torch.device("cpu"))
    assert found.tolist() == [1, 2, 3, 0]
    assert there.all()
    assert partners(1, None, torch.device("cpu"))[1].tolist() == [False]


def test_it_is_minus_the_error_to_the_others_target():
    plan, batch = planned(NETWORK, count=4)
    value = valued(plan.velocity.roll(-1, 0) + 2, plan, batch)
    torch.testing.assert_close(value.total, torch.full((4,), -4.0))
    assert float(value.parts["paired"]) == 1
    unlabelled = attrs.evolve(batch, condition=Condition())
    torch.testing.assert_close(valued(plan.velocity.roll(-1, 0) + 2, plan, unlabelled).total, value.total)


def test_a_sample_without_another_class_adds_nothing_and_moves_nothing():
    plan, batch = planned(NETWORK, labels=[2, 2, 2])
    velocity = torch.zeros_like(plan.velocity, requires_grad=True)
    value = valued(velocity, plan, batch)
    assert not value.total.any()
    assert float(value.parts["paired"]) == 0
    value.total.sum().backward()
    assert not velocity.grad.any()


def test_hidden_labels_count_and_nothing_is_drawn():
    plan, batch = planned(NETWORK, labels=[0, 0, 1])
    before = torch.get_rng_state()
    hidden = attrs.evolve(batch, condition=batch.condition.null())
    velocity = torch.zeros_like(plan.velocity)
    assert torch.equal(valued(velocity, plan, hidden).total, valued(velocity, plan, batch).total)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("weight", [0.05, 0.3])
def test_beside_velocity_the_minimiser_is_away_from_the_others(weight):
    """(V - weight V_other) / (1 - weight)."""
    plan, batch = planned(NETWORK, count=4)
    velocity = torch.zeros_like(plan.velocity, requires_grad=True)
    terms = [built(NETWORK.facts, "velocity"), built(NETWORK.facts, "contrastive", weight=weight)]
    optimizer = torch.optim.SGD([velocity], lr=velocity[0].numel() / 4)
    for _ in range(100):
        optimizer.zero_grad()
        step = step_of(NETWORK, plan, batch, Prediction((velocity,)))
        sum(one.weight * one(step).total for one in terms).sum().backward()
        optimizer.step()
    other = plan.velocity.roll(-1, 0)
    torch.testing.assert_close(velocity.detach(), (plan.velocity - weight * other) / (1 - weight))


def test_a_single_sample_is_refused_in_training_and_passed_in_validation():
    plan, batch = planned(NETWORK, count=1)
    with pytest.raises(
        DataError, match=r"a process holds one at once; enlarge training\.batch_size or lower"
    ):
        valued(plan.velocity, plan, batch)
    with torch.no_grad():
        assert valued(plan.velocity, plan, batch).total.tolist() == [0.0]


TOP = {"objectives": {"velocity": {}, "acceleration": {}, "contrastive": {}}}


def test_a_run_trains_with_it(tmp_path):
    Trainer(tiny(top=TOP), tmp_path / "run", accelerator="cpu", quiet=True).train()
    last = lines(tmp_path / "run")[-1]
    assert last["contrastive"] < 0
    assert 0.8 < last["contrastive/paired"] <= 1
    assert lines(tmp_path / "run")[3]["validation/contrastive"] < 0
    one = tiny(top=TOP, batch_size=4, accumulate=4)
    with pytest.raises(DataError, match="a process holds one at once"):
        Trainer(one, tmp_path / "one", accelerator="cpu", quiet=True).train()


class Single:
    """A split of one sample."""

    def __len__(self):
        return 1

    def batch(self, indices, generator):
        clean = torch.ones(len(indices), 1, 8, 8)
        return Batch(clean, Condition(torch.tensor(indices)))


def test_layers_that_get_no_gradient_are_found_by_samples_that_can_be_compared():
    parts = build_components(tiny(top=TOP))
    losses = Losses(parts.network, parts.objectives)
    for split in (parts.dataset.train, Single()):
        assert not has_unused(losses, parts.planner, split, 0)
