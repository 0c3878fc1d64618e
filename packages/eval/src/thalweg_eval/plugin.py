"""The metrics, vision encoders and commands of this distribution."""

import click

import thalweg
from thalweg.cli.deferred import DeferredCommand
from thalweg.hookspecs import Register

api_version = 1


_METRICS = {
    "frechet_distance": "metrics.frechet:FrechetDistanceConfig",
    "spatial_frechet_distance": "metrics.frechet:SpatialFrechetDistanceConfig",
    "inception_score": "metrics.inception_score:InceptionScoreConfig",
    "kid": "metrics.kid:KidConfig",
    "precision_recall": "metrics.precision_recall:PrecisionRecallConfig",
    "clip_score": "metrics.clip_score:ClipScoreConfig",
    "caption_retrieval": "metrics.caption_retrieval:CaptionRetrievalConfig",
    "nearest_neighbour": "metrics.nearest:NearestNeighbourConfig",
    "accuracy": "metrics.accuracy:AccuracyConfig",
    "geneval": "geneval.metric:GenEvalConfig",
}
_VISION_ENCODERS = {
    "small_classifier": "small_classifier:SmallClassifierConfig",
    "geneval": "geneval.encoder:GenEvalEncoderConfig",
}


@thalweg.hookimpl
def thalweg_components(register: Register) -> None:
    """Register them; nothing is imported until one is used."""
    for name, metric in _METRICS.items():
        register("metric", name, f"thalweg_eval.{metric}")
    for name, encoder in _VISION_ENCODERS.items():
        register("vision_encoder", name, f"thalweg_eval.{encoder}")
    register("objective", "shuffled_velocity", "thalweg_eval.bench.shuffled_velocity:ShuffledVelocityConfig")


_COMMANDS = {
    "quickstart": "Train a baseline and its DeepFlow twin on digits; compare them.",
    "evaluate": "Compute metrics of samples or images; every number with a passport.",
    "compare": "Put the numbers of passports side by side.",
    "ablate": "Train and evaluate a grid of compositions under several seeds.",
    "analyse": "Measure a trained network inside, depth by depth, on held-out data.",
    "bench": "Compare methods on several data sets by shipped ablations.",
    "tune": "Choose how a trained network is sampled.",
    "view": "Sample a trained network on a page in the browser.",
    "report": "Show training runs side by side in one HTML file.",
}


@thalweg.hookimpl
def thalweg_commands(cli: click.Group) -> None:
    """Add them; each is imported when it is called."""
    for name, line in _COMMANDS.items():
        cli.add_command(DeferredCommand(name, f"thalweg_eval.cli.{name}:command", line))
