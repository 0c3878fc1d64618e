from collections.abc import Sequence

import attrs
import pytest
import torch
from lightning_fabric import Fabric

from thalweg.averages.ema import EMA
from thalweg.data.order import indices
from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.training.batches import Batches, BatchReader, check_labels
from thalweg.training.components import RunComponents, build_components
from thalweg.training.launch.distributed import Peers
from thalweg.training.step import Losses, TrainingStep, has_unused
from thalweg.training.validation import Validation
from thalweg.types import Batch, Condition, Plan
from tiny_runs import tiny


def batches(parts: RunComponents, shards: int, dropout: float = 0.3) -> Batches:
    return Batches(
        parts.dataset.train, parts.network.facts, parts.planner, parts.network.interpolant,
        seed=5, batch_size=24, shards=shards, condition_dropout=dropout,
    )  # fmt: skip


def drawn_by(drawn: Batches, step: int, shard: int) -> tuple[Plan, Batch]:
    batch = drawn.read(step, shard)
    return drawn.plan(batch, step, shard), batch


def reader(drawn: Batches, accumulate: int, prefetch: int = 0, workers: int = 1) -> BatchReader:
    return BatchReader(
        drawn, Peers(0, 1), accumulate=accumulate, steps=50, prefetch=prefetch, workers=workers
    )  # fmt: skip


def joined(pieces: list[tuple[Plan, Batch]]) -> tuple[Plan, Batch]:
    plans, parts = zip(*pieces, strict=True)
    plan = Plan(
        *(torch.cat([getattr(one, name) for one in plans]) for name in ("clean", "noise")),
        torch.cat([one.times for one in plans], dim=1),
        *(torch.cat([getattr(one, name) for one in plans]) for name in ("x_t", "velocity")),
        plans[0].interpolant,
    )
    condition = parts[0].condition
    for part in parts[1:]:
        condition = condition.join(part.condition)
    return plan, Batch(plan.clean, condition)


def test_accumulation_equals_one_big_batch() -> None:
    parts = build_components(tiny())
    reference = build_components(tiny())
    drawn = batches(parts, shards=4)
    fabric = Fabric(accelerator="cpu", devices=1)
    losses = Losses(parts.network, parts.objectives)
    optimizer = torch.optim.SGD(losses.parameters(), lr=1.0)
    wrapped, wrapped_optimizer = fabric.setup(losses, optimizer)
    step = TrainingStep(
        fabric, wrapped, wrapped_optimizer, EMA(parts.network, 0.5), reader(drawn, 4),
        accumulate=4, max_grad_norm=0.05, guard=lambda *_: True,
    )  # fmt: skip
    numbers = step(7)
    assert numbers is not None

    whole = Losses(reference.network, reference.objectives)
    plan, batch = joined([drawn_by(drawn, 7, shard) for shard in range(4)])
    expected = whole(plan, batch)
    expected["loss"].backward()
    norm = torch.nn.utils.clip_grad_norm_(whole.parameters(), 0.05)
    assert float(norm) > 0.05  # clipping took part
    torch.optim.SGD(whole.parameters(), lr=1.0).step()
    torch.testing.assert_close(numbers["loss"], expected["loss"].detach())
    torch.testing.assert_close(numbers["grad_norm"], norm)
    for mine, theirs in zip(losses.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_shards_share_out_the_global_batch_and_draw_by_themselves() -> None:
    parts = build_components(tiny())
    whole = batches(parts, shards=1).read(2, 0).clean
    shards = [drawn_by(batches(parts, shards=3), 2, shard) for shard in range(3)]
    together = torch.cat([batch.clean for _, batch in shards])
    assert sorted(map(tuple, together.flatten(1).tolist())) == sorted(map(tuple, whole.flatten(1).tolist()))
    assert not torch.equal(shards[0][0].noise, shards[1][0].noise)


def test_a_step_draws_the_same_again_and_another_step_does_not() -> None:
    parts = build_components(tiny())
    drawn = batches(parts, shards=1)
    plan, batch = drawn_by(drawn, 4, 0)
    again, same = drawn_by(drawn, 4, 0)
    other, _ = drawn_by(drawn, 5, 0)
    assert torch.equal(plan.noise, again.noise)
    assert torch.equal(plan.times, again.times)
    assert torch.equal(batch.condition.hidden(), same.condition.hidden())
    assert not torch.equal(plan.noise, other.noise)


@pytest.mark.parametrize(("dropout", "low", "high"), [(0.0, 0, 0), (0.3, 0.22, 0.38), (1.0, 1, 1)])
def test_condition_dropout_hides_its_share(dropout: float, low: float, high: float) -> None:
    drawn = batches(build_components(tiny()), shards=1, dropout=dropout)
    hidden = torch.cat([drawn.read(step, 0).condition.hidden() for step in range(25)])
    assert low <= float(hidden.float().mean()) <= high


def test_labels_outside_the_classes_are_refused() -> None:
    check_labels(Condition(torch.tensor([0, 9])), Facts((1, 8, 8), classes=10))
    for label in (-1, 10):
        with pytest.raises(DataError, match=f"label {label}, outside 0..9"):
            check_labels(Condition(torch.tensor([3, label])), Facts((1, 8, 8), classes=10))


def test_the_loss_is_the_weighted_sum_of_the_objectives() -> None:
    config = tiny(top={"objectives": {"velocity": {"weight": 2.0}, "acceleration": {"weight": 0.25}}})
    parts = build_components(config)
    numbers = Losses(parts.network, parts.objectives)(*drawn_by(batches(parts, 1), 0, 0))
    torch.testing.assert_close(
        numbers["loss"].detach(), 2.0 * numbers["velocity"] + 0.25 * numbers["acceleration"]
    )
    assert {"velocity/branch_1", "velocity/branch_2", "acceleration/branch_1"} <= numbers.keys()


@pytest.mark.parametrize(("names", "unused"), [(("velocity", "acceleration"), False), (("velocity",), True)])
def test_a_loss_without_acceleration_leaves_its_layer_unused(names: tuple[str, ...], unused: bool) -> None:
    parts = build_components(tiny(top={"objectives": {name: {} for name in names}}))
    losses = Losses(parts.network, parts.objectives)
    assert has_unused(losses, parts.planner, parts.dataset.train, seed=0) is unused
    assert all(parameter.grad is None for parameter in losses.parameters())


def validating(**training: int) -> tuple[RunComponents, Losses, Validation]:
    config = tiny(**training, top={"seed": 1})
    parts = build_components(config)
    losses, fabric = Losses(parts.network, parts.objectives), Fabric(accelerator="cpu", devices=1)
    return parts, losses, Validation(config, parts, losses, reader(batches(parts, 1), 1), fabric)


def test_validation_changes_with_the_weights_alone() -> None:
    _, losses, validation = validating(batch_size=50, validation_batches=3)
    torch.manual_seed(1)
    first = validation()
    torch.manual_seed(2)
    assert validation() == first
    with torch.no_grad():
        for parameter in losses.parameters():
            parameter.add_(0.01)
    assert validation()["validation/loss"] != first["validation/loss"]


def test_validation_weighs_every_sample_alike() -> None:
    parts, _, validation = validating(batch_size=200, validation_batches=99)
    size = len(parts.dataset.validation)
    measured = validation()
    assert size % 200  # the last batch is smaller
    with torch.no_grad():
        sums = [
            float(validation._measure(index, 0)["loss"]) * len(chosen)
            for index, chosen in enumerate(validation._batches)
        ]
    assert measured["validation/loss"] == pytest.approx(sum(sums) / size, rel=1e-5)
    assert sorted(index for chosen in validation._batches for index in chosen) == list(range(size))


@pytest.mark.parametrize(("depth", "workers"), [(1, 1), (3, 2), (7, 4)])
def test_reading_ahead_changes_nothing(depth: int, workers: int) -> None:
    drawn = batches(build_components(tiny()), shards=2)
    ahead, at_once = reader(drawn, 2, depth, workers), reader(drawn, 2)
    for step, part in [(0, 0), (0, 1), (1, 0), (1, 1), (7, 1), (8, 0), (49, 0), (49, 1)]:
        one, other = ahead.batch(step, part), at_once.batch(step, part)
        assert torch.equal(one.clean, other.clean)
        assert one.condition.labels is not None
        assert other.condition.labels is not None
        assert torch.equal(one.condition.labels, other.condition.labels)
        assert torch.equal(one.condition.hidden(), other.condition.hidden())
    ahead.close()
    at_once.close()


def test_what_cannot_be_read_fails_at_its_step() -> None:
    parts = build_components(tiny())

    class Spoilt:
        def __len__(self) -> int:
            return len(parts.dataset.train)

        def batch(self, indices: Sequence[int], generator: torch.Generator) -> Batch:
            if spoilt & set(indices):
                raise DataError("a sample is damaged")
            return parts.dataset.train.batch(indices, generator)

    drawn = Batches(
        Spoilt(), parts.network.facts, parts.planner, parts.network.interpolant,
        seed=5, batch_size=24, shards=1, condition_dropout=0.1,
    )  # fmt: skip
    spoilt: set[int] = set(indices(5, 2, 24, len(parts.dataset.train)))
    reading = reader(drawn, 1, prefetch=3, workers=2)
    for step in (0, 1):
        assert len(reading.batch(step, 0).clean) == 24
    with pytest.raises(DataError, match="a sample is damaged"):
        reading.batch(2, 0)
    reading.close()


def test_a_step_that_is_not_admitted_changes_nothing() -> None:
    parts = build_components(tiny())
    drawn = batches(parts, shards=1)
    fabric = Fabric(accelerator="cpu", devices=1)
    losses = Losses(parts.network, parts.objectives)
    optimizer = torch.optim.AdamW(losses.parameters(), lr=0.1)
    wrapped, wrapped_optimizer = fabric.setup(losses, optimizer)
    ema, verdicts = EMA(parts.network, 0.5), iter([True, False])
    step = TrainingStep(
        fabric, wrapped, wrapped_optimizer, ema, reader(drawn, 1),
        accumulate=1, max_grad_norm=1.0, guard=lambda *_: next(verdicts),
    )  # fmt: skip
    assert step(0) is not None
    held = {
        **{f"weight {name}": tensor.clone() for name, tensor in losses.state_dict().items()},
        **{f"average {name}": tensor.clone() for name, tensor in ema.state_dict().items()},
    }
    moments = [state["exp_avg"].clone() for state in optimizer.state.values()]
    assert step(1) is None
    now = {
        **{f"weight {name}": tensor for name, tensor in losses.state_dict().items()},
        **{f"average {name}": tensor for name, tensor in ema.state_dict().items()},
    }
    assert all(torch.equal(tensor, now[name]) for name, tensor in held.items())
    assert all(
        torch.equal(one, state["exp_avg"])
        for one, state in zip(moments, optimizer.state.values(), strict=True)
    )
    assert all(parameter.grad is None for parameter in losses.parameters())


def test_unconditional_data_have_no_labels_to_check() -> None:
    parts = build_components(tiny())
    unconditional = attrs.evolve(parts.network.facts, classes=None)
    check_labels(Condition(None), unconditional)
