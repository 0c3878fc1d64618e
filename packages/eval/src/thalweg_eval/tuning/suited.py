"""Which samplers can follow a network's field, where all that are registered are compared."""

from collections.abc import Callable, Sequence
from typing import Any

from thalweg.config import component, listed
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.guidance import check_average
from thalweg.plugins import build_component
from thalweg_eval.tuning.sampler_points import SamplerPoint


def suited(
    points: Sequence[SamplerPoint], facts: Facts, guidance: Any, say: Callable[[str], None]
) -> list[SamplerPoint]:
    """The points of samplers that the network can be sampled by.

    A sampler of average velocities, for one, needs a flow map without guidance around it.

    Args:
        points: of all samplers.
        facts: of the network.
        guidance: around it, as a protocol states it.
        say: told which sampler is left out, and why.
    """
    refused: set[str] = set()
    first = {one.curve: one for one in reversed(points)}
    for curve, point in first.items():
        try:
            sampler = build_component(component("sampler", dict(point.sampler)), facts)
            if getattr(sampler, "needs_average", False):
                guidances = [build_component(component("guidance", one), facts) for one in listed(guidance)]
                check_average(sampler, guidances)
        except ConfigError as error:
            refused.add(curve)
            say(f"{curve} is left out: {error}")
    return [one for one in points if one.curve not in refused]
