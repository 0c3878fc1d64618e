"""The ways in which the quick start samples its networks (no torch here)."""

from collections.abc import Mapping
from typing import Any

import attrs

INTERNAL: Mapping[str, Any] = {"type": "internal", "scale": "calibrated", "strength": 3.0}
"""Of a strength that was chosen beforehand, on other seeds."""

SCALES = (1.05, 1.1, 1.25, 1.5)
"""Of classifier-free guidance; the best is taken, by samples of another seed than those shown."""


@attrs.frozen
class GuidedNetwork:
    """A network, and how it is guided.

    Attributes:
        name: what the table calls it.
        network: which one is sampled.
        guidance: from the network outwards, in plain values.
    """

    name: str
    network: str
    guidance: tuple[Mapping[str, Any], ...] = ()


def cfg(scale: float) -> Mapping[str, Any]:
    """Classifier-free guidance at all times."""
    return {"type": "cfg", "scale": scale}


def ways(scale: float) -> tuple[GuidedNetwork, ...]:
    """All of them, the unguided one first.

    Args:
        scale: of classifier-free guidance.
    """
    return (
        GuidedNetwork("SiT", "SiT"),
        GuidedNetwork(f"SiT, classifier-free {scale:g}", "SiT", (cfg(scale),)),
        GuidedNetwork("SiT, internal", "SiT", (INTERNAL,)),
        GuidedNetwork(f"SiT, internal and classifier-free {scale:g}", "SiT", (INTERNAL, cfg(scale))),
        GuidedNetwork("DeepFlow-2T", "DeepFlow-2T"),
        GuidedNetwork("DeepFlow-2T, internal", "DeepFlow-2T", (INTERNAL,)),
    )
