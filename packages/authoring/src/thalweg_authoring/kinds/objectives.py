"""What an objective keeps, on a network with all that there is to read."""

from typing import Any

import attrs
import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.composition import seeded
from thalweg.config import FaultyConfigError
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.network import FlowNetwork
from thalweg.planners.branch_times import BranchTimes
from thalweg.planning import draw_plan
from thalweg.time_samplers.uniform import Uniform
from thalweg.training.objectives import StepNetwork
from thalweg.types import Batch, Condition, ObjectiveValue, Plan, Prediction, Step
from thalweg_authoring.gaussian import COSINE, LINEAR
from thalweg_authoring.networks import of_other_shapes, randomised_network
from thalweg_authoring.numbers import draws, images, require_shape
from thalweg_authoring.reference import ReferenceBackboneConfig, ReferenceRefinerConfig
from thalweg_authoring.rules import does_not_apply, require, require_raises, rule
from thalweg_authoring.subject import Subject

LABELS = Condition(torch.tensor([0, 3, 9]))


def composed(subject: Subject) -> FlowNetwork:
    """A network of two branches with accelerations."""
    return randomised_network(ReferenceBackboneConfig(), ReferenceRefinerConfig(), 2, subject.facts)


def built(subject: Subject, **options: Any) -> Any:
    """The objective as training builds it: its own weights under a seed, if it has some."""
    net = composed(subject)
    facts: Facts = attrs.evolve(net.facts, features=subject.facts.features)
    with seeded(0, torch.device("cpu")):
        return subject.build(facts, **options)


def planned(subject: Subject, interpolant: Interpolant = LINEAR) -> tuple[Plan, Batch]:
    """The network's query, and a batch with all that there may be in one."""
    shape = subject.facts.shape
    clean = draws(3, *shape)
    features = {
        name: draws(3, one.grid[0] * one.grid[1], one.width) for name, one in subject.facts.features.items()
    }
    seen = images(3, 3, 2 * shape[1], 2 * shape[2]) if len(shape) == 3 else None
    batch = Batch(clean, LABELS, features, seen)
    planner = BranchTimes(Uniform(), 2, 0.01)
    return draw_plan(planner, batch, torch.Generator().manual_seed(0), interpolant), batch


def hidden(objective: Any) -> tuple[int, ...]:
    """The depths that it wants hidden states of."""
    return tuple(getattr(objective, "hidden", ()))


def stepped(
    subject: Subject, prediction: Prediction, interpolant: Interpolant = LINEAR, net: Any = None
) -> Step:
    """The step that an objective sees, in the middle of a run."""
    plan, batch = planned(subject, interpolant)
    again = StepNetwork(composed(subject) if net is None else net)
    return Step(plan, prediction, batch, again, again.frozen, number=50, total=100)


def predicted(
    subject: Subject, objective: Any, interpolant: Interpolant = LINEAR, mixed: bool = False
) -> Prediction:
    """What the network answers."""
    plan, batch = planned(subject, interpolant)
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        found: Prediction = composed(subject)(plan.x_t, plan.times, batch.condition, hidden=hidden(objective))
    return found


def of_batch(objective: Any) -> bool:
    """Whether it is a loss in which samples meet."""
    return bool(getattr(objective, "of_batch", False))


@rule("objective")
def one_finite_float32_loss_a_sample(subject: Subject) -> None:
    """The loss is one finite float32 a sample, on both paths, also of predictions in bfloat16."""
    for interpolant in (LINEAR, COSINE):
        for mixed in (False, True):
            objective = built(subject)
            prediction = predicted(subject, objective, interpolant, mixed)
            value = objective(stepped(subject, prediction, interpolant))
            require(
                isinstance(value, ObjectiveValue),
                f"it returns a {type(value).__name__}; return thalweg.types.ObjectiveValue(total, parts)",
            )
            shape = () if of_batch(objective) and value.total.dim() == 0 else (3,)
            require_shape("ObjectiveValue.total", value.total, shape, torch.float32)
            require(torch.isfinite(value.total).all(), "the loss is not finite")


@rule("objective")
def data_of_any_shape_are_taken_or_refused(subject: Subject) -> None:
    """On points, vectors and volumes it works, or says in a ConfigError that it is for images alone."""
    for shape, other, objective in of_other_shapes(subject, built):
        total = objective(stepped(other, predicted(other, objective))).total
        what = f"of samples of shape {shape} ObjectiveValue.total"
        require_shape(what, total, () if total.dim() == 0 else (3,))
        require(torch.isfinite(total).all(), f"of samples of shape {shape} the loss is not finite")


@rule("objective")
def parts_are_detached_scalars(subject: Subject) -> None:
    """Whatever is logged is a finite scalar without a graph."""
    objective = built(subject)
    value = objective(stepped(subject, predicted(subject, objective)))
    for name, part in value.parts.items():
        require_shape(f"the part '{name}'", part, ())
        require(not part.requires_grad, f"the part '{name}' holds on to the graph; detach it")
        require(torch.isfinite(part), f"the part '{name}' is not finite")


@rule("objective")
def gradients_flow_into_the_network_and_its_own_weights(subject: Subject) -> None:
    """The loss moves the network, and every parameter that the objective brings."""
    objective, net = built(subject), composed(subject)
    plan, batch = planned(subject)
    prediction = net(plan.x_t, plan.times, batch.condition, hidden=hidden(objective))
    total = objective(stepped(subject, prediction, net=net)).total
    require(total.requires_grad, "the loss does not depend on the network; do not detach the prediction")
    total.mean().backward()
    reached = [p for p in net.backbone.parameters() if p.grad is not None and p.grad.any()]
    require(reached, "the loss does not depend on the network; do not detach the prediction")
    finite = all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)
    require(finite, "the loss has a gradient that is not finite")
    if isinstance(objective, nn.Module):
        missing = [name for name, p in objective.named_parameters() if p.requires_grad and p.grad is None]
        require(not missing, f"no gradient reaches its own {', '.join(missing[:3])}; use it, or freeze it")


@rule("objective")
def a_samples_loss_is_its_own(subject: Subject) -> None:
    """The loss of a sample depends on the predictions for it alone, unless it is one of the batch."""
    objective = built(subject)
    if of_batch(objective):
        does_not_apply("it is a loss of the batch")
    leaves = tree_map(lambda out: out.detach().requires_grad_(), predicted(subject, objective))
    total = objective(stepped(subject, leaves)).total
    if not total[1].requires_grad:
        does_not_apply("it asks the network again")
    total[1].backward()
    gradients = [leaf.grad for leaf in tree_leaves(leaves) if leaf.grad is not None]
    require(any(one[1].any() for one in gradients), "a sample's loss does not depend on its own prediction")
    require(
        not any(one[[0, 2]].any() for one in gradients),
        "a sample's loss depends on its neighbours; take the mean over its own elements, not over the batch, "
        "or state of_batch = True",
    )


@rule("objective")
def the_weight_is_stated_and_not_applied(subject: Subject) -> None:
    """``weight`` is a field and an attribute; the trainer multiplies by it, the objective does not."""
    require(subject.has("weight"), "its config has no field 'weight'; add weight: float = 1.0, at least 0")
    light, heavy = built(subject), built(subject, weight=3.0)
    require(heavy.weight == 3.0, f"weight=3.0 gives an objective of weight {heavy.weight}; hand it on")
    prediction = predicted(subject, light)
    totals = []
    for objective in (light, heavy):
        with seeded(0, torch.device("cpu")):
            totals.append(objective(stepped(subject, prediction)).total)
    require(torch.equal(*totals), "the loss is multiplied by weight; training does that")
    negative = "a negative weight is taken; validate it with attrs.validators.ge(0)"
    with require_raises(FaultyConfigError, negative):
        subject.config(weight=-1.0)
