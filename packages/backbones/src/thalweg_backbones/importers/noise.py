"""What is said and kept of a network that predicts the noise of a DDPM."""

import logging
from typing import Any

from thalweg.import_options import OptionResolver


def noise_schedule(
    resolver: OptionResolver, betas: tuple[float, float], rise: str, steps: int, origin: str
) -> dict[str, Any]:
    """The backbone's options for a schedule, which is noted; and a warning of what that means.

    Args:
        resolver: of the importer.
        betas: the first and the last.
        rise: ``linear`` or ``scaled_linear``.
        steps: of the diffusion.
        origin: who states it.
    """
    noted = f"{rise} betas from {betas[0]} to {betas[1]} in {steps} steps"
    resolver.note("noise_schedule", noted, origin)
    logging.getLogger("thalweg").warning(
        "the network predicts the noise of a DDPM of %d steps, no velocity: each velocity is computed from "
        "that, exactly at the noise levels of its steps, interpolated between them, and extrapolated before "
        "the first and behind the last; it was trained as a DDPM, not as a flow",
        steps,
    )
    return {"betas": betas, "beta_schedule": rise, "diffusion_steps": steps}
