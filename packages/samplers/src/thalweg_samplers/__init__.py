"""Samplers and guidance for Thalweg, one small file each.

Names are looked up when they are first used: plugins load without torch.
"""

from typing import TYPE_CHECKING

from thalweg.lazy_names import lazy_names

if TYPE_CHECKING:
    from thalweg_samplers.autoguidance import Autoguidance as Autoguidance
    from thalweg_samplers.autoguidance import AutoguidanceConfig as AutoguidanceConfig
    from thalweg_samplers.classifier_free import ClassifierFree as ClassifierFree
    from thalweg_samplers.classifier_free import ClassifierFreeConfig as ClassifierFreeConfig
    from thalweg_samplers.dopri5 import Dopri5 as Dopri5
    from thalweg_samplers.dopri5 import Dopri5Config as Dopri5Config
    from thalweg_samplers.early_exit import EarlyExit as EarlyExit
    from thalweg_samplers.early_exit import EarlyExitConfig as EarlyExitConfig
    from thalweg_samplers.euler import Euler as Euler
    from thalweg_samplers.euler import EulerConfig as EulerConfig
    from thalweg_samplers.euler_maruyama import EulerMaruyama as EulerMaruyama
    from thalweg_samplers.euler_maruyama import EulerMaruyamaConfig as EulerMaruyamaConfig
    from thalweg_samplers.flow_map import FlowMapSampler as FlowMapSampler
    from thalweg_samplers.flow_map import FlowMapSamplerConfig as FlowMapSamplerConfig
    from thalweg_samplers.half import Half as Half
    from thalweg_samplers.half import HalfConfig as HalfConfig
    from thalweg_samplers.heun import Heun as Heun
    from thalweg_samplers.heun import HeunConfig as HeunConfig
    from thalweg_samplers.internal import Internal as Internal
    from thalweg_samplers.internal import InternalConfig as InternalConfig
    from thalweg_samplers.ladder import Ladder as Ladder
    from thalweg_samplers.ladder import LadderConfig as LadderConfig
    from thalweg_samplers.multistep import Multistep as Multistep
    from thalweg_samplers.multistep import MultistepConfig as MultistepConfig
    from thalweg_samplers.path_drop import PathDrop as PathDrop
    from thalweg_samplers.path_drop import PathDropConfig as PathDropConfig
    from thalweg_samplers.stochastic_heun import StochasticHeun as StochasticHeun
    from thalweg_samplers.stochastic_heun import StochasticHeunConfig as StochasticHeunConfig
    from thalweg_samplers.unipc import UniPC as UniPC
    from thalweg_samplers.unipc import UniPCConfig as UniPCConfig

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "thalweg_samplers.autoguidance": "Autoguidance AutoguidanceConfig",
        "thalweg_samplers.classifier_free": "ClassifierFree ClassifierFreeConfig",
        "thalweg_samplers.dopri5": "Dopri5 Dopri5Config",
        "thalweg_samplers.early_exit": "EarlyExit EarlyExitConfig",
        "thalweg_samplers.euler": "Euler EulerConfig",
        "thalweg_samplers.euler_maruyama": "EulerMaruyama EulerMaruyamaConfig",
        "thalweg_samplers.flow_map": "FlowMapSampler FlowMapSamplerConfig",
        "thalweg_samplers.half": "Half HalfConfig",
        "thalweg_samplers.heun": "Heun HeunConfig",
        "thalweg_samplers.internal": "Internal InternalConfig",
        "thalweg_samplers.ladder": "Ladder LadderConfig",
        "thalweg_samplers.multistep": "Multistep MultistepConfig",
        "thalweg_samplers.path_drop": "PathDrop PathDropConfig",
        "thalweg_samplers.stochastic_heun": "StochasticHeun StochasticHeunConfig",
        "thalweg_samplers.unipc": "UniPC UniPCConfig",
    },
)
