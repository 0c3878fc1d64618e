"""Flow-based generative models composed from plugins.

Names are looked up when they are first used, so that ``import thalweg`` and the command line's help
stay quick: torch is imported with the first name that needs it.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from thalweg.errors import ConfigError, DataError, DivergenceError, PluginError, ThalwegError

if TYPE_CHECKING:
    from thalweg.composition import compose
    from thalweg.config import RunConfig, component_field, load_config
    from thalweg.evaluation.run import evaluate
    from thalweg.facts import Facts
    from thalweg.guidance import heads_of, within
    from thalweg.hookspecs import hookimpl
    from thalweg.importing import import_weights, load
    from thalweg.network import FlowNetwork
    from thalweg.plugins import registry
    from thalweg.sampling import sample
    from thalweg.training.loop import Trainer
    from thalweg.types import Condition, ConditionalField, Head, Prediction, Query

    __version__: str

__all__ = [
    "Condition",
    "ConditionalField",
    "ConfigError",
    "DataError",
    "DivergenceError",
    "Facts",
    "FlowNetwork",
    "Head",
    "PluginError",
    "Prediction",
    "Query",
    "RunConfig",
    "ThalwegError",
    "Trainer",
    "__version__",
    "component_field",
    "compose",
    "evaluate",
    "heads_of",
    "hookimpl",
    "import_weights",
    "load",
    "load_config",
    "registry",
    "sample",
    "within",
]

# No module of this folder may bear one of these names: importing it would put the module in its place.
_HOMES = {
    "Condition": "thalweg.types",
    "ConditionalField": "thalweg.types",
    "Facts": "thalweg.facts",
    "FlowNetwork": "thalweg.network",
    "Head": "thalweg.types",
    "Prediction": "thalweg.types",
    "Query": "thalweg.types",
    "RunConfig": "thalweg.config",
    "Trainer": "thalweg.training.loop",
    "component_field": "thalweg.config",
    "compose": "thalweg.composition",
    "evaluate": "thalweg.evaluation.run",
    "heads_of": "thalweg.guidance",
    "hookimpl": "thalweg.hookspecs",
    "import_weights": "thalweg.importing",
    "load": "thalweg.importing",
    "load_config": "thalweg.config",
    "registry": "thalweg.plugins",
    "sample": "thalweg.sampling",
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
