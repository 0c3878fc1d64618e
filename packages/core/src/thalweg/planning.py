"""From a batch to what the network is asked: the noise, and what a planner makes of it."""

import torch

from thalweg.interpolant import Interpolant
from thalweg.protocols import Planner
from thalweg.types import Batch, Plan


def draw_plan(planner: Planner, batch: Batch, generator: torch.Generator, interpolant: Interpolant) -> Plan:
    """The plan of a batch, on the batch's device.

    Noise comes first, so that all planners get the same under one seed. It is drawn on the generator's device
    and then moved: the same on every machine.

    Args:
        planner: draws the times.
        batch: clean samples, and what they are conditioned on.
        generator: of everything that is drawn.
        interpolant: the path from data to noise.
    """
    noise = torch.randn(batch.clean.shape, generator=generator).to(batch.clean.device)
    return planner(batch, noise, generator, interpolant)
