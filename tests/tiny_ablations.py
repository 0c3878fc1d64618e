"""Ablations of tiny runs, scored in a moment."""

from typing import Any

AXIS = "refiner=none,plain"
PROTOCOL: dict[str, Any] = {
    "name": "moment",
    "version": 1,
    "count": 20,
    "sampling": {"sampler": {"type": "euler", "steps": 2}, "labels": "balanced", "precision": "32-true"},
    "reference": {"set": "validation"},
    "features": {
        "small_classifier": {
            "extractor": {"type": "small_classifier", "steps": 2, "width": 8, "features": 8},
            "metrics": {"frechet_distance": {}, "accuracy": {}},
        }
    },
}
