"""The samplers and guidance of this distribution."""

import thalweg
from thalweg.hookspecs import Register

api_version = 1


@thalweg.hookimpl
def thalweg_components(register: Register) -> None:
    """Register them; nothing is imported until one is used."""
    register("sampler", "euler", "thalweg_samplers.euler:EulerConfig")
    register("sampler", "heun", "thalweg_samplers.heun:HeunConfig")
    register("sampler", "dopri5", "thalweg_samplers.dopri5:Dopri5Config")
    register("sampler", "multistep", "thalweg_samplers.multistep:MultistepConfig")
    register("sampler", "unipc", "thalweg_samplers.unipc:UniPCConfig")
    register("sampler", "euler_maruyama", "thalweg_samplers.euler_maruyama:EulerMaruyamaConfig")
    register("sampler", "flow_map", "thalweg_samplers.flow_map:FlowMapSamplerConfig")
    register("sampler", "stochastic_heun", "thalweg_samplers.stochastic_heun:StochasticHeunConfig")
    register("guidance", "cfg", "thalweg_samplers.classifier_free:ClassifierFreeConfig")
    register("guidance", "internal", "thalweg_samplers.internal:InternalConfig")
    register("guidance", "half", "thalweg_samplers.half:HalfConfig")
    register("guidance", "ladder", "thalweg_samplers.ladder:LadderConfig")
    register("guidance", "path_drop", "thalweg_samplers.path_drop:PathDropConfig")
    register("guidance", "autoguidance", "thalweg_samplers.autoguidance:AutoguidanceConfig")
    register("guidance", "early_exit", "thalweg_samplers.early_exit:EarlyExitConfig")
