"""Core's own components, registered as a stranger's are."""

import thalweg
from thalweg.hookspecs import Register

api_version = 1


@thalweg.hookimpl
def thalweg_components(register: Register) -> None:
    """Register them; nothing is imported until one is used."""
    register("objective", "velocity", "thalweg.objectives.velocity:VelocityConfig")
    register("objective", "acceleration", "thalweg.objectives.acceleration:AccelerationConfig")
    register("objective", "alignment", "thalweg.objectives.alignment:AlignmentConfig")
    register("time_sampler", "uniform", "thalweg.time_samplers.uniform:UniformConfig")
    register("time_sampler", "lognormal", "thalweg.time_samplers.lognormal:LognormalConfig")
    register("dataset", "digits", "thalweg.data.digits:DigitsConfig")
    register("dataset", "images", "thalweg.data.images:ImagesConfig")
    register("dataset", "shards", "thalweg.data.shards.dataset:ShardsConfig")
    register("source", "folder", "thalweg.data.sources.folder:FolderConfig")
    register("source", "tar", "thalweg.data.sources.tar:TarConfig")
    register("source", "idx", "thalweg.data.sources.idx:IdxConfig")
    register("source", "captioned", "thalweg.data.sources.captioned:CaptionedConfig")
    register("source", "emoji", "thalweg.data.sources.emoji:EmojiConfig")
    register("autoencoder", "identity", "thalweg.autoencoders.identity:IdentityConfig")
    register("logger", "csv", "thalweg.training.loggers.table:CsvConfig")
    register("logger", "wandb", "thalweg.training.loggers.weights_and_biases:WandbConfig")
    register("logger", "tensorboard", "thalweg.training.loggers.tensorboard:TensorBoardConfig")
