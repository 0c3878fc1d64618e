"""The metrics and extractors of this distribution."""

import thalweg
from thalweg.hookspecs import Register

api_version = 1


@thalweg.hookimpl
def thalweg_components(register: Register) -> None:
    """Register them; nothing is imported until one is used."""
    register("metric", "frechet_distance", "thalweg_eval.frechet:FrechetDistanceConfig")
    register("metric", "accuracy", "thalweg_eval.accuracy:AccuracyConfig")
    register("extractor", "small_classifier", "thalweg_eval.small_classifier:SmallClassifierConfig")
