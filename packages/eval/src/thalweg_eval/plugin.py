"""The metrics and extractors of this distribution."""

import thalweg
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
_EXTRACTORS = {
    "small_classifier": "extractors.small_classifier:SmallClassifierConfig",
    "inception": "extractors.inception:InceptionConfig",
    "lite0": "extractors.lite0:Lite0Config",
    "dinov2": "extractors.dinov2:DinoV2Config",
    "clip": "extractors.clip:ClipConfig",
    "timm": "extractors.timm_model:TimmConfig",
    "geneval": "geneval.extractor:GenEvalExtractorConfig",
}


@thalweg.hookimpl
def thalweg_components(register: Register) -> None:
    """Register them; nothing is imported until one is used."""
    for name, metric in _METRICS.items():
        register("metric", name, f"thalweg_eval.{metric}")
    for name, extractor in _EXTRACTORS.items():
        register("extractor", name, f"thalweg_eval.{extractor}")
