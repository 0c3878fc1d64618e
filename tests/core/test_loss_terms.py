"""What the terms of a loss may be called and may answer; what else is one clear sentence."""

from typing import Any

import pytest
import torch
from torch import Tensor

import thalweg
from thalweg.errors import ConfigError, PluginError
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.planners.branch_times import BranchTimes
from thalweg.planning import draw_plan
from thalweg.time_samplers.uniform import Uniform
from thalweg.training.components import build_components
from thalweg.training.step import Losses, has_unused
from thalweg.training.trainer import Trainer
from thalweg.types import Batch, Condition, ObjectiveValue, Step
from tiny_runs import tiny

FACTS = Facts(shape=(2,))


class Mine:
    """The error, as something makes of it."""

    weight: Any = 1.0

    def __init__(self, answer: Any, **attributes: Any) -> None:
        self.answer = answer
        self.__dict__.update(attributes)

    def __call__(self, step: Step) -> Any:
        error = (step.prediction.velocities[-1] - step.plan.velocity).square().mean(dim=1)
        return self.answer(error)


def fine(error: Tensor) -> ObjectiveValue:
    return ObjectiveValue(error)


def losses(**objectives: Any) -> Losses:
    network = thalweg.compose(backbone={"type": "mlp", "width": 8, "depth": 2}, facts=FACTS)
    return Losses(network, objectives)


def value(mine: Any) -> Tensor:
    batch = Batch(torch.ones(3, 2), Condition())
    planner, path = BranchTimes(Uniform(), 1, 0.0), Interpolant.named("linear")
    plan = draw_plan(planner, batch, torch.Generator().manual_seed(0), path)
    found: Tensor = losses(mine=mine)(plan, batch)["loss"]
    return found


class Odd:
    """An answer that attrs would not check either."""

    def __init__(self, total: Any, **parts: Any) -> None:
        self.total, self.parts = total, parts


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda error: Odd(error.mean()), r"has shape \(\); give a loss of each sample, .* of_batch = True"),
        (lambda error: Odd(error[:2]), r"has shape \(2,\); give a loss of each sample, shape \(3,\)"),
        (lambda error: Odd(torch.stack([error, error])), r"has shape \(2, 3\)"),
        (lambda _: Odd(1.0), r"a total that is 1\.0; return thalweg\.ObjectiveValue"),
        (lambda error: error, r"answers a Tensor; return thalweg\.ObjectiveValue"),
        (lambda _: None, r"answers None; return thalweg\.ObjectiveValue"),
        (lambda error: Odd(error.to("meta")), "is on meta and the batch on cpu"),
        (lambda error: Odd(error, x=1.0), r"the part 'x' of objectives\.mine is 1\.0; give a tensor"),
        (lambda error: Odd(error, x=error), r"the part 'x' of objectives\.mine is of shape \(3,\)"),
        (lambda error: Odd(error.detach()), r"no loss depends on what is trained \(mine\)"),
    ],
)
def test_an_answer_that_is_no_loss_is_told(answer: Any, said: str) -> None:
    with pytest.raises(PluginError, match=said):
        value(Mine(answer))


def test_a_loss_of_the_batch_may_be_one_number_or_one_a_sample() -> None:
    expected = value(Mine(fine))
    for answer in (fine, lambda error: ObjectiveValue(error.mean())):
        assert torch.equal(value(Mine(answer, of_batch=True)), expected)
    with pytest.raises(PluginError, match=r"has shape \(2,\); give one number, or one a sample"):
        value(Mine(lambda error: Odd(error[:2]), of_batch=True))


@pytest.mark.parametrize("name", ["loss", "grad_norm", "step", "seconds", "lr", "a.b", "a/b", ""])
def test_names_that_are_taken_or_none_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"an objective is called '{name}', which"):
        losses(**{name: Mine(fine)})


@pytest.mark.parametrize(
    ("attributes", "said"),
    [({"weight": None}, "the weight of objectives.mine is None"), ({"hidden": 2}, "wants hidden = 2")],
)
def test_attributes_of_other_types_are_refused(attributes: dict[str, Any], said: str) -> None:
    with pytest.raises(PluginError, match=said):
        losses(mine=Mine(fine, **attributes))


def test_nothing_to_train_for_is_refused() -> None:
    with pytest.raises(ConfigError, match="there are no objectives"):
        build_components(tiny(), objectives={})
    with pytest.raises(ConfigError, match="no objective is left at step 0"):
        value(Mine(fine, stop_after=0))


def test_a_run_that_outlives_its_objectives_is_refused_before_it_begins(tmp_path: Any) -> None:
    mine = Mine(fine, stop_after=3)
    with pytest.raises(ConfigError, match=r"have stopped after step 3 and training\.steps is 6"):
        Trainer(tiny(), tmp_path, objectives={"mine": mine}, accelerator="cpu")
    assert not list(tmp_path.iterdir())
    Trainer(tiny(steps=3), tmp_path, objectives={"mine": mine}, accelerator="cpu")


class Accelerating(Mine):
    """Reads what nothing else does, until it stops."""

    def __call__(self, step: Step) -> ObjectiveValue:
        return ObjectiveValue(step.prediction.readouts["acceleration"][0].square().flatten(1).mean(dim=1))


@pytest.mark.parametrize(("stop", "unused"), [(None, False), (6, False), (5, True), (0, True)])
def test_layers_that_get_no_gradient_later_on_are_known_from_the_start(
    stop: int | None, unused: bool
) -> None:
    parts = build_components(tiny(steps=6))
    objectives = {"velocity": parts.objectives["velocity"], "mine": Accelerating(None, stop_after=stop)}
    found = has_unused(Losses(parts.network, objectives), parts.planner, parts.dataset.train, 0, 6)
    assert found == unused
