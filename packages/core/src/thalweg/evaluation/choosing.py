"""From the names that users write for metrics to extractors and metrics (no torch here)."""

from collections.abc import Mapping, Sequence
from typing import Any

_SHORT = {
    "fid": ("frechet_distance", "inception"),
    "sfid": ("spatial_frechet_distance", "inception"),
    "is": ("inception_score", "inception"),
    "kid": ("kid", "inception"),
    "precision": ("precision_recall", "inception"),
    "recall": ("precision_recall", "inception"),
    "fd_dinov2": ("frechet_distance", "dinov2"),
    "fd_lite0": ("frechet_distance", "lite0"),
}
_OWN_EXTRACTOR = {"accuracy": "small_classifier", "clip_score": "clip", "geneval": "geneval"}
_USUAL_EXTRACTOR = "inception"


def chosen(metrics: Sequence[str | Mapping[str, Any]], extractor: Any = None) -> dict[str, Any]:
    """The judges that compute these metrics, in plain values.

    Args:
        metrics: each a registered name, such as ``frechet_distance``; one with an extractor's name,
            ``frechet_distance@lite0``; a number's usual name, such as ``fid``; or a mapping with ``type``.
        extractor: a name or a mapping with ``type``, for metrics that name none; by default Inception, and
            its own for a metric that can have no other.
    """
    judges: dict[str, Any] = {}
    for metric in metrics:
        options = {} if isinstance(metric, str) else dict(metric)
        written = metric if isinstance(metric, str) else str(options.pop("type", ""))
        name, at, asked = written.partition("@")
        seen: Any = asked
        if not at:
            usual = _OWN_EXTRACTOR.get(name, _USUAL_EXTRACTOR)
            name, usual = (name, usual) if extractor is not None else _SHORT.get(name, (name, usual))
            name = _SHORT.get(name, (name, ""))[0]
            seen = usual if extractor is None else extractor
        seen = {"type": seen} if isinstance(seen, str) else dict(seen)
        judge = judges.setdefault(str(seen.get("type", "")), {"extractor": seen, "metrics": {}})
        judge["metrics"][name] = options
    return judges
