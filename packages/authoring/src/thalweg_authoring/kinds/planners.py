"""What a planner keeps."""

import attrs
import torch
from torch import Tensor

from thalweg.errors import ConfigError
from thalweg.interpolant import Interpolant
from thalweg.planning import draw_plan
from thalweg.types import Batch, Condition, Plan
from thalweg_authoring.gaussian import COSINE, LINEAR
from thalweg_authoring.numbers import (
    draws,
    require_generator_decides,
    require_near,
    require_shape,
    require_unit,
)
from thalweg_authoring.rules import does_not_apply, require, rule
from thalweg_authoring.subject import Subject


def batch_of(subject: Subject, count: int, shape: tuple[int, ...] | None = None) -> Batch:
    """Samples, each with a label where there are classes."""
    classes = subject.facts.classes
    labels = None if classes is None else torch.arange(count) % min(classes, 3)
    return Batch(draws(count, *(shape or subject.facts.shape), seed=count), Condition(labels))


def planned(
    subject: Subject, interpolant: Interpolant = LINEAR, count: int = 7, seed: int = 0
) -> tuple[Plan, Batch]:
    """A plan as training draws it, and the batch that it is of."""
    batch = batch_of(subject, count)
    generator = torch.Generator().manual_seed(seed)
    return draw_plan(subject.build(), batch, generator, interpolant), batch


def rows(x: Tensor) -> list[list[float]]:
    """The rows of a tensor in an order that does not depend on theirs."""
    return sorted(x.flatten(1).tolist())


@rule("planner")
def samples_keep_their_places(subject: Subject) -> None:
    """Row n of the plan is sample n of the batch, whose condition goes with it."""
    for count in (1, 7):
        plan, batch = planned(subject, count=count)
        require_near(
            plan.clean, batch.clean, "plan.clean is not the batch's; keep the samples, and order the noise"
        )


@rule("planner")
def each_branch_and_sample_has_a_time(subject: Subject) -> None:
    """Times are float32 of the shape (branches, N) in [0, 1], on all paths."""
    for interpolant in (LINEAR, COSINE):
        for count in (1, 7, 500):
            times = planned(subject, interpolant, count)[0].times
            require_shape("plan.times", times, (subject.facts.branches, count), torch.float32)
            require_unit(times)


@rule("planner")
def x_t_lies_on_the_path(subject: Subject) -> None:
    """x_t and velocity are the interpolant's at the first branch's time, between its data and its noise."""
    for interpolant in (LINEAR, COSINE):
        plan, _ = planned(subject, interpolant)
        expected = Plan.at(plan.clean, plan.noise, plan.times, interpolant)
        for name in ("x_t", "velocity"):
            require_near(
                getattr(plan, name),
                getattr(expected, name),
                f"plan.{name} is not the interpolant's at times[0]; make plans by thalweg.types.Plan.at",
            )
        require(plan.interpolant is interpolant, "plan.interpolant is not the path that was handed in")


@rule("planner")
def noise_stays_noise(subject: Subject) -> None:
    """The plan's noise is what was handed in, in any order: whatever is learnt of it is sampled from."""
    for count in (1, 7):
        batch = batch_of(subject, count)
        noise = draws(*batch.clean.shape, seed=50)
        plan = subject.build()(batch, noise, torch.Generator().manual_seed(0), LINEAR)
        require_shape("plan.noise", plan.noise, tuple(noise.shape), noise.dtype)
        require(
            rows(plan.noise) == rows(noise),
            "plan.noise holds other rows than the noise that was handed in; put them in another order only, "
            "as samples start from N(0, I)",
        )


@rule("planner")
def data_of_any_shape_are_planned(subject: Subject) -> None:
    """Samples need not be images: points in the plane, (N, 2), are planned too."""
    try:
        planner = subject.build(attrs.evolve(subject.facts, shape=(2,), text=None))
    except ConfigError as error:
        does_not_apply(f"it is not for points: {error}")
    batch = batch_of(subject, 7, (2,))
    plan = draw_plan(planner, batch, torch.Generator().manual_seed(0), LINEAR)
    require_shape("plan.x_t of points", plan.x_t, (7, 2))
    require_shape("plan.velocity of points", plan.velocity, (7, 2))


@rule("planner")
def what_is_handed_in_is_left_alone(subject: Subject) -> None:
    """Neither the batch nor the noise is written to, and no graph hangs on the plan."""
    batch = batch_of(subject, 7)
    noise = draws(*batch.clean.shape, seed=50)
    before = batch.clean.clone(), noise.clone()
    plan = subject.build()(batch, noise, torch.Generator().manual_seed(0), LINEAR)
    same = torch.equal(batch.clean, before[0]) and torch.equal(noise, before[1])
    require(same, "the batch or its noise is written to; work on a copy")
    values = [getattr(plan, field.name) for field in attrs.fields(Plan)]
    tensors = [one for one in values if isinstance(one, torch.Tensor)]
    require(
        not any(one.requires_grad for one in tensors), "a plan has no gradients; draw it in torch.no_grad"
    )


@rule("planner")
def the_generator_alone_decides(subject: Subject) -> None:
    """Equal generators give equal plans, others others, and the global one is left alone."""

    def drawn(seed: int) -> tuple[Tensor, Tensor]:
        plan, _ = planned(subject, seed=seed)
        return plan.times, plan.noise

    require_generator_decides(drawn)
