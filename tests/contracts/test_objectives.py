"""Every objective, on a network with all that there is to read."""

import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map

from contracts.catalogue import FACTS, draws, names, network, small
from samplers.gaussian import COSINE, LINEAR
from thalweg.composition import seeded
from thalweg.config import component
from thalweg.planner import Planner
from thalweg.types import Batch, Condition

EVERY = pytest.mark.parametrize("name", names("objective"))
LABELS = Condition(torch.tensor([0, 3, 9]))
TAPS = (1, 2)


def composed():
    return network(refiner=small("refiner", "vera"), branches=2)


def planned(interpolant=LINEAR):
    times = component("time_sampler", names("time_sampler")[0]).build(FACTS)
    clean = draws(3, *FACTS.shape)
    plan = Planner(interpolant, times, 2, 0.01)(clean, torch.Generator().manual_seed(0))
    features = {name: draws(3, 16, one.width) for name, one in FACTS.features.items()}
    return plan, Batch(clean, LABELS, features)


def valued(name, prediction, interpolant=LINEAR, **options):
    objective = component("objective", small("objective", name, **options)).build(FACTS)
    plan, batch = planned(interpolant)
    return objective(plan, prediction, batch)


def predicted(interpolant=LINEAR, mixed=False):
    plan, batch = planned(interpolant)
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        return composed()(plan.x_t, plan.times, batch.condition, taps=TAPS)


@EVERY
@pytest.mark.parametrize("interpolant", [LINEAR, COSINE], ids=["linear", "cosine"])
@pytest.mark.parametrize("mixed", [False, True], ids=["float32", "bfloat16"])
def test_one_finite_float32_loss_a_sample(name, interpolant, mixed):
    value = valued(name, predicted(interpolant, mixed), interpolant)
    assert (value.total.shape, value.total.dtype) == ((3,), torch.float32)
    assert torch.isfinite(value.total).all()
    # Squares, or cosines.
    assert (value.total > (-1 if name == "alignment" else 0)).all()


@EVERY
def test_parts_are_detached_scalars(name):
    value = valued(name, predicted())
    assert value.parts
    for part in value.parts.values():
        assert part.shape == ()
        assert not part.requires_grad
        assert torch.isfinite(part)


@EVERY
def test_gradients_flow_into_the_network(name):
    net = composed()
    plan, batch = planned()
    valued(name, net(plan.x_t, plan.times, batch.condition, taps=TAPS)).total.mean().backward()
    reached = [name for name, p in net.backbone.named_parameters() if p.grad is not None and p.grad.any()]
    assert reached
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


@EVERY
def test_a_samples_loss_is_its_own(name):
    prediction = predicted()
    leaves = tree_map(lambda out: out.detach().requires_grad_(), prediction)
    valued(name, leaves).total[1].backward()
    gradients = [leaf.grad for leaf in tree_leaves(leaves) if leaf.grad is not None]
    assert any(gradient[1].any() for gradient in gradients)
    assert not any(gradient[[0, 2]].any() for gradient in gradients)


@EVERY
def test_the_weight_is_stated_and_not_applied(name):
    prediction = predicted()
    heavy = component("objective", small("objective", name, weight=3.0)).build(FACTS)
    assert heavy.weight == 3.0
    with seeded(0, torch.device("cpu")):
        unweighted = valued(name, prediction).total
    with seeded(0, torch.device("cpu")):
        assert torch.equal(valued(name, prediction, weight=3.0).total, unweighted)
    with pytest.raises(Exception, match="weight"):
        component("objective", small("objective", name, weight=-1.0))
