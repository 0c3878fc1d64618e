"""Flow-based generative models composed from plugins.

Names are looked up when they are first used, so that ``import thalweg`` and the command line's help
stay quick: torch is imported with the first name that needs it.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from thalweg.errors import ConfigError, DataError, DivergenceError, PluginError, ThalwegError

if TYPE_CHECKING:
    from thalweg.averages.ema import EMA
    from thalweg.broadcasting import sample_mean
    from thalweg.composition import compose
    from thalweg.config import RunConfig, component_field, load_config
    from thalweg.evaluation.run import evaluate
    from thalweg.evaluation.tensor_images import TensorImages
    from thalweg.facts import Facts
    from thalweg.guidance import heads_of, within
    from thalweg.hookspecs import hookimpl
    from thalweg.importing import import_weights
    from thalweg.interpolant import Interpolant
    from thalweg.making import build
    from thalweg.network import FlowNetwork
    from thalweg.plugins import register, registry, use_file
    from thalweg.randomness import generator
    from thalweg.sampling import sample
    from thalweg.saved_network import load, save
    from thalweg.training.batches import Batches
    from thalweg.training.loop import Trainer
    from thalweg.training.losses import Losses
    from thalweg.types import (
        Batch,
        Boundary,
        Condition,
        ConditionalField,
        Head,
        ObjectiveValue,
        Plan,
        Prediction,
        Query,
        Refinement,
        Step,
        Stream,
    )

    __version__: str

__all__ = [
    "EMA",
    "Batch",
    "Batches",
    "Boundary",
    "Condition",
    "ConditionalField",
    "ConfigError",
    "DataError",
    "DivergenceError",
    "Facts",
    "FlowNetwork",
    "Head",
    "Interpolant",
    "Losses",
    "ObjectiveValue",
    "Plan",
    "PluginError",
    "Prediction",
    "Query",
    "Refinement",
    "RunConfig",
    "Step",
    "Stream",
    "TensorImages",
    "ThalwegError",
    "Trainer",
    "__version__",
    "build",
    "component_field",
    "compose",
    "evaluate",
    "generator",
    "heads_of",
    "hookimpl",
    "import_weights",
    "load",
    "load_config",
    "register",
    "registry",
    "sample",
    "sample_mean",
    "save",
    "use_file",
    "within",
]

# No module of this folder may bear one of these names: importing it would put the module in its place.
_HOMES = {
    "Batch": "thalweg.types",
    "Batches": "thalweg.training.batches",
    "Boundary": "thalweg.types",
    "Condition": "thalweg.types",
    "ConditionalField": "thalweg.types",
    "EMA": "thalweg.averages.ema",
    "Facts": "thalweg.facts",
    "FlowNetwork": "thalweg.network",
    "Head": "thalweg.types",
    "Interpolant": "thalweg.interpolant",
    "Losses": "thalweg.training.losses",
    "ObjectiveValue": "thalweg.types",
    "Plan": "thalweg.types",
    "Prediction": "thalweg.types",
    "Query": "thalweg.types",
    "Refinement": "thalweg.types",
    "RunConfig": "thalweg.config",
    "Step": "thalweg.types",
    "Stream": "thalweg.types",
    "TensorImages": "thalweg.evaluation.tensor_images",
    "Trainer": "thalweg.training.loop",
    "build": "thalweg.making",
    "component_field": "thalweg.config",
    "compose": "thalweg.composition",
    "evaluate": "thalweg.evaluation.run",
    "generator": "thalweg.randomness",
    "heads_of": "thalweg.guidance",
    "hookimpl": "thalweg.hookspecs",
    "import_weights": "thalweg.importing",
    "load": "thalweg.saved_network",
    "load_config": "thalweg.config",
    "register": "thalweg.plugins",
    "registry": "thalweg.plugins",
    "sample": "thalweg.sampling",
    "sample_mean": "thalweg.broadcasting",
    "save": "thalweg.saved_network",
    "use_file": "thalweg.plugins",
    "within": "thalweg.guidance",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("thalweg-core")
    if name not in _HOMES:
        raise AttributeError(f"module 'thalweg' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if "_THALWEG_HIDDEN" in os.environ:
    # A process that one of ours has started, where some distribution is damaged: before torch is imported.
    from thalweg.plugins.quarantine import inherit

    inherit()
