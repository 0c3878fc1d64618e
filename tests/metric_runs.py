"""Metrics called as an evaluation calls them: statistics filled batch by batch, then the numbers."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from thalweg.protocols import Metric, Statistic
from thalweg.types import Features


def filled(
    makers, batches: Sequence[Features], labels: Sequence[Tensor] | None = None
) -> dict[str, Statistic]:
    """Every statistic, having seen all batches in order."""
    made = {key: make() for key, make in makers.items()}
    start = 0
    for place, batch in enumerate(batches):
        indices = range(start, start := start + len(batch.pooled))
        for one in made.values():
            one.update(batch, None if labels is None else labels[place], indices)
    return made


def numbers(
    metric: Metric,
    samples: Sequence[Features],
    reference: Sequence[Features] = (),
    labels: Sequence[Tensor] | None = None,
) -> Mapping[str, float]:
    """What a metric says of batches of features."""
    ours, real = (sum(len(batch.pooled) for batch in side) for side in (samples, reference))
    return metric(
        filled(metric.statistics(ours), samples, labels), filled(metric.reference_statistics(real), reference)
    )
