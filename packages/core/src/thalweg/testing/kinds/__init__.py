"""The rules of each kind, one file a kind; ``every`` holds those of all kinds."""

from thalweg.testing.kinds import (
    every,  # first, so that its rules are checked first
)

# isort: split
from thalweg.testing.kinds import (
    autoencoders,
    averages,
    backbones,
    datasets,
    extractors,
    guidance,
    identities,
    importers,
    interpolants,
    loggers,
    metrics,
    modules,
    objectives,
    optimizers,
    planners,
    refiners,
    samplers,
    schedules,
    sources,
    teachers,
    text_encoders,
    time_samplers,
)

__all__ = [
    "autoencoders",
    "averages",
    "backbones",
    "datasets",
    "every",
    "extractors",
    "guidance",
    "identities",
    "importers",
    "interpolants",
    "loggers",
    "metrics",
    "modules",
    "objectives",
    "optimizers",
    "planners",
    "refiners",
    "samplers",
    "schedules",
    "sources",
    "teachers",
    "text_encoders",
    "time_samplers",
]
