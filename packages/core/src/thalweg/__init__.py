"""Flow-based generative models composed from plugins.

Names are looked up when they are first used, so that ``import thalweg`` and the command line's help
stay quick: torch is imported with the first name that needs it.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from thalweg.errors import ConfigError, DataError, DivergenceError, PluginError, ThalwegError

if TYPE_CHECKING:
    from thalweg.branches import heads_of
    from thalweg.broadcasting import sample_mean
    from thalweg.composition import compose
    from thalweg.config import RunConfig, component_field, load_config
    from thalweg.evaluation.run import evaluate
    from thalweg.facts import Facts
    from thalweg.hookspecs import hookimpl
    from thalweg.importing import import_weights
    from thalweg.network import FlowNetwork
    from thalweg.plugins import build_component, register, registry, use_file
    from thalweg.sampling import sample
    from thalweg.saved_network import load, save
    from thalweg.training.loop import Trainer
    from thalweg.types import (
        Boundary,
        Condition,
        ObjectiveValue,
        Prediction,
        Refinement,
        Step,
        Stream,
    )

    __version__: str

__all__ = [
    "Boundary",
    "Condition",
    "ConfigError",
    "DataError",
    "DivergenceError",
    "Facts",
    "FlowNetwork",
    "ObjectiveValue",
    "PluginError",
    "Prediction",
    "Refinement",
    "RunConfig",
    "Step",
    "Stream",
    "ThalwegError",
    "Trainer",
    "__version__",
    "build_component",
    "component_field",
    "compose",
    "evaluate",
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
]

# No module of this folder may bear one of these names: importing it would put the module in its place.
_HOMES = {
    "Boundary": "thalweg.types",
    "Condition": "thalweg.types",
    "Facts": "thalweg.facts",
    "FlowNetwork": "thalweg.network",
    "ObjectiveValue": "thalweg.types",
    "Prediction": "thalweg.types",
    "Refinement": "thalweg.types",
    "RunConfig": "thalweg.config",
    "Step": "thalweg.types",
    "Stream": "thalweg.types",
    "Trainer": "thalweg.training.loop",
    "build_component": "thalweg.plugins",
    "component_field": "thalweg.config",
    "compose": "thalweg.composition",
    "evaluate": "thalweg.evaluation.run",
    "heads_of": "thalweg.branches",
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
