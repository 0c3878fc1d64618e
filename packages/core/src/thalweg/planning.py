"""From a batch to the network's query: the noise, and what a planner makes of it."""

from typing import Any

import attrs
import torch
from torch import Tensor

from thalweg.arguments import described
from thalweg.errors import PluginError
from thalweg.interpolant import Interpolant
from thalweg.protocols import Planner
from thalweg.transfers import moved
from thalweg.types import Batch, Plan

_SEED_BITS = 62


def draw_plan(planner: Planner, batch: Batch, generator: torch.Generator, interpolant: Interpolant) -> Plan:
    """The plan of a batch, on the batch's device.

    Noise comes first, so that all planners get the same under one seed. It is drawn on the generator's device
    and then moved: the same on every machine. What objectives draw besides is seeded last, so that it changes
    neither noise nor times.

    Args:
        planner: draws the times.
        batch: clean samples, and what they are conditioned on.
        generator: of everything that is drawn.
        interpolant: the path from data to noise.

    Raises:
        PluginError: if the planner returns no plan, or one of shapes that would broadcast.
    """
    noise = moved(torch.randn(batch.clean.shape, generator=generator), batch.clean.device)
    plan = planner(batch, noise, generator, interpolant)
    _check(plan, type(planner).__name__)
    return attrs.evolve(plan, seed=int(torch.randint(2**_SEED_BITS, (), generator=generator)))


def _check(plan: Any, planner: str) -> None:
    if not isinstance(plan, Plan):
        raise PluginError(
            f"the planner {planner} returns {described(plan)}; return a thalweg.Plan, as Plan.at makes it"
        )
    shape = tuple(plan.clean.shape)
    for name in ("noise", "x_t", "velocity"):
        found: Tensor = getattr(plan, name)
        if tuple(found.shape) != shape:
            raise PluginError(
                f"the planner {planner} returns a plan whose {name} has shape {tuple(found.shape)}; it must "
                f"be that of its clean samples, {shape}"
            )
    if plan.times.dim() != 2 or plan.times.shape[1] != len(plan.clean):
        raise PluginError(
            f"the planner {planner} returns times of shape {tuple(plan.times.shape)}; give a time of each "
            f"branch and sample, shape (branches, {len(plan.clean)})"
        )
