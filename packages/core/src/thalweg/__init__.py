"""Flow-based generative models composed from plugins.

Names are looked up when they are first used, so that ``import thalweg`` and the command line's help
stay quick: torch is imported with the first name that needs it.
"""

import os
from typing import TYPE_CHECKING, Any

from thalweg.errors import ConfigError as ConfigError
from thalweg.errors import DataError as DataError
from thalweg.errors import DivergenceError as DivergenceError
from thalweg.errors import PluginError as PluginError
from thalweg.errors import ThalwegError as ThalwegError
from thalweg.lazy_names import lazy_names

if TYPE_CHECKING:
    from thalweg.added_heads import add_heads as add_heads
    from thalweg.averages.ema import EMA as EMA
    from thalweg.broadcasting import sample_mean as sample_mean
    from thalweg.calibrating import calibrate as calibrate
    from thalweg.composition import compose as compose
    from thalweg.config import RunConfig as RunConfig
    from thalweg.config import component_field as component_field
    from thalweg.config import load_config as load_config
    from thalweg.config.components import build as build
    from thalweg.facts import Facts as Facts
    from thalweg.guidance import heads_of as heads_of
    from thalweg.guidance import within as within
    from thalweg.head_fitting import fit_heads as fit_heads
    from thalweg.hookspecs import hookimpl as hookimpl
    from thalweg.interpolant import Interpolant as Interpolant
    from thalweg.loading import load as load
    from thalweg.network import FlowNetwork as FlowNetwork
    from thalweg.objectives.acceleration import AccelerationConfig as AccelerationConfig
    from thalweg.objectives.alignment import AlignmentConfig as AlignmentConfig
    from thalweg.objectives.contrastive import ContrastiveConfig as ContrastiveConfig
    from thalweg.objectives.dispersive import DispersiveConfig as DispersiveConfig
    from thalweg.objectives.distillation import DistillationConfig as DistillationConfig
    from thalweg.objectives.flow_map import AverageVelocityConfig as AverageVelocityConfig
    from thalweg.objectives.gradient_conflict import ConflictVelocityConfig as ConflictVelocityConfig
    from thalweg.objectives.latent_alignment import LatentAlignmentConfig as LatentAlignmentConfig
    from thalweg.objectives.layer_sync import LayerSyncConfig as LayerSyncConfig
    from thalweg.objectives.self_alignment import SelfAlignmentConfig as SelfAlignmentConfig
    from thalweg.objectives.velocity import VelocityConfig as VelocityConfig
    from thalweg.objectives.weak_to_strong import WeakToStrongConfig as WeakToStrongConfig
    from thalweg.planners.branch_times import BranchTimesConfig as BranchTimesConfig
    from thalweg.planners.flow_map import FlowMapConfig as FlowMapConfig
    from thalweg.planners.optimal_transport import OptimalTransportConfig as OptimalTransportConfig
    from thalweg.planning import draw_plan as draw_plan
    from thalweg.plugins import register as register
    from thalweg.plugins import registry as registry
    from thalweg.plugins import use_file as use_file
    from thalweg.randomness import generator as generator
    from thalweg.sampling import sample as sample
    from thalweg.saved_network import save as save
    from thalweg.training.batches import Batches as Batches
    from thalweg.training.step import Losses as Losses
    from thalweg.training.trainer import Trainer as Trainer
    from thalweg.types import Batch as Batch
    from thalweg.types import Boundary as Boundary
    from thalweg.types import Condition as Condition
    from thalweg.types import ConditionalField as ConditionalField
    from thalweg.types import Head as Head
    from thalweg.types import ObjectiveValue as ObjectiveValue
    from thalweg.types import Plan as Plan
    from thalweg.types import Prediction as Prediction
    from thalweg.types import Query as Query
    from thalweg.types import Refinement as Refinement
    from thalweg.types import Step as Step
    from thalweg.types import Stream as Stream
    from thalweg.types import Text as Text

    __version__: str

_HOMES = {
    "thalweg.added_heads": "add_heads",
    "thalweg.averages.ema": "EMA",
    "thalweg.broadcasting": "sample_mean",
    "thalweg.calibrating": "calibrate",
    "thalweg.composition": "compose",
    "thalweg.config": "RunConfig component_field load_config",
    "thalweg.config.components": "build",
    "thalweg.facts": "Facts",
    "thalweg.guidance": "heads_of within",
    "thalweg.head_fitting": "fit_heads",
    "thalweg.hookspecs": "hookimpl",
    "thalweg.interpolant": "Interpolant",
    "thalweg.loading": "load",
    "thalweg.network": "FlowNetwork",
    "thalweg.objectives.acceleration": "AccelerationConfig",
    "thalweg.objectives.alignment": "AlignmentConfig",
    "thalweg.objectives.contrastive": "ContrastiveConfig",
    "thalweg.objectives.dispersive": "DispersiveConfig",
    "thalweg.objectives.distillation": "DistillationConfig",
    "thalweg.objectives.flow_map": "AverageVelocityConfig",
    "thalweg.objectives.gradient_conflict": "ConflictVelocityConfig",
    "thalweg.objectives.latent_alignment": "LatentAlignmentConfig",
    "thalweg.objectives.layer_sync": "LayerSyncConfig",
    "thalweg.objectives.self_alignment": "SelfAlignmentConfig",
    "thalweg.objectives.velocity": "VelocityConfig",
    "thalweg.objectives.weak_to_strong": "WeakToStrongConfig",
    "thalweg.planners.branch_times": "BranchTimesConfig",
    "thalweg.planners.flow_map": "FlowMapConfig",
    "thalweg.planners.optimal_transport": "OptimalTransportConfig",
    "thalweg.planning": "draw_plan",
    "thalweg.plugins": "register registry use_file",
    "thalweg.randomness": "generator",
    "thalweg.sampling": "sample",
    "thalweg.saved_network": "save",
    "thalweg.training.batches": "Batches",
    "thalweg.training.trainer": "Trainer",
    "thalweg.training.step": "Losses",
    "thalweg.types": (
        "Batch Boundary Condition ConditionalField Head ObjectiveValue Plan "
        "Prediction Query Refinement Step Stream Text"
    ),
}
_find, __dir__, __all__ = lazy_names(__name__, _HOMES)
__all__ += ["ConfigError", "DataError", "DivergenceError", "PluginError", "ThalwegError", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("thalweg-core")
    return _find(name)


if "_THALWEG_HIDDEN" in os.environ:
    # A process that one of ours has started, where some distribution is damaged: before torch is imported.
    from thalweg.plugins.distributions import inherit

    inherit()
