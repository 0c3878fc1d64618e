"""Core's own components, registered as those of any plugin are."""

import thalweg
from thalweg.hookspecs import Register

api_version = 1


@thalweg.hookimpl
def thalweg_components(register: Register) -> None:
    """Register them; nothing is imported until one is used."""
    register("objective", "velocity", "thalweg.objectives.velocity:VelocityConfig")
    register("objective", "conflict_velocity", "thalweg.objectives.gradient_conflict:ConflictVelocityConfig")
    register("objective", "acceleration", "thalweg.objectives.acceleration:AccelerationConfig")
    register("objective", "alignment", "thalweg.objectives.alignment:AlignmentConfig")
    register("objective", "weak_to_strong", "thalweg.objectives.weak_to_strong:WeakToStrongConfig")
    register("objective", "flow_map", "thalweg.objectives.flow_map:AverageVelocityConfig")
    register("objective", "distillation", "thalweg.objectives.distillation:DistillationConfig")
    register("objective", "latent_alignment", "thalweg.objectives.latent_alignment:LatentAlignmentConfig")
    register("objective", "self_alignment", "thalweg.objectives.self_alignment:SelfAlignmentConfig")
    register("objective", "layer_sync", "thalweg.objectives.layer_sync:LayerSyncConfig")
    register("objective", "dispersive", "thalweg.objectives.dispersive:DispersiveConfig")
    register("objective", "contrastive", "thalweg.objectives.contrastive:ContrastiveConfig")
    register("planner", "branch_times", "thalweg.planners.branch_times:BranchTimesConfig")
    register("planner", "optimal_transport", "thalweg.planners.optimal_transport:OptimalTransportConfig")
    register("planner", "flow_map", "thalweg.planners.flow_map:FlowMapConfig")
    register("time_sampler", "uniform", "thalweg.time_samplers.uniform:UniformConfig")
    register("time_sampler", "logit_normal", "thalweg.time_samplers.logit_normal:LogitNormalConfig")
    register("time_sampler", "shifted", "thalweg.time_samplers.shifted:ShiftedConfig")
    register("interpolant", "linear", "thalweg.interpolants.linear:LinearConfig")
    register("interpolant", "cosine", "thalweg.interpolants.cosine:CosineConfig")
    register("optimizer", "adamw", "thalweg.optimizers.adamw:AdamWConfig")
    register("optimizer", "muon", "thalweg.optimizers.muon:MuonConfig")
    register("schedule", "constant", "thalweg.schedules.constant:ConstantConfig")
    register("schedule", "warmup", "thalweg.schedules.warmup:WarmupConfig")
    register("schedule", "cosine", "thalweg.schedules.cosine:CosineDecayConfig")
    register("schedule", "linear", "thalweg.schedules.linear:LinearDecayConfig")
    register("average", "ema", "thalweg.averages.ema:EmaConfig")
    register("dataset", "digits", "thalweg.data.digits:DigitsConfig")
    register("dataset", "two_moons", "thalweg.data.two_moons:TwoMoonsConfig")
    register("dataset", "images", "thalweg.data.images:ImagesConfig")
    register("dataset", "shards", "thalweg.data.shards.dataset:ShardsConfig")
    register("source", "folder", "thalweg.data.sources.folder:FolderConfig")
    register("source", "tar", "thalweg.data.sources.tar:TarConfig")
    register("source", "idx", "thalweg.data.sources.idx:IdxConfig")
    register("source", "captioned", "thalweg.data.sources.captioned:CaptionedConfig")
    register("source", "emoji", "thalweg.data.sources.emoji:EmojiConfig")
    register("source", "huggingface", "thalweg.data.sources.huggingface.config:HuggingFaceConfig")
    register("logger", "csv", "thalweg.training.loggers.table:CsvConfig")
    register("logger", "wandb", "thalweg.training.loggers.weights_and_biases:WandbConfig")
    register("logger", "tensorboard", "thalweg.training.loggers.tensorboard:TensorBoardConfig")
