"""What a metric keeps, on a handful of features."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from thalweg.errors import ThalwegError
from thalweg.protocols import Metric, Statistic
from thalweg.testing.numbers import draws
from thalweg.testing.rules import require, rule
from thalweg.testing.subject import Subject
from thalweg.types import Features

COUNT = 40
LABELS = torch.arange(COUNT) % 10


def features(seed: int, rows: slice = slice(None)) -> Features:
    """Features of all kinds of some of 40 images."""
    pooled, logits, spatial = (draws(COUNT, width, seed=seed + width) for width in (12, 10, 8))
    captions = draws(COUNT, 12, seed=seed)
    said = torch.arange(COUNT) % 25
    return Features(pooled[rows].abs(), logits[rows], spatial[rows], captions[rows], said[rows])


def filled(
    makers: Mapping[str, Callable[[], Statistic]],
    batches: Sequence[Features],
    labels: Sequence[Tensor] | None = None,
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
    """What a metric says of batches of features, called as an evaluation calls it."""
    ours, real = (sum(len(batch.pooled) for batch in side) for side in (samples, reference))
    return metric(
        filled(metric.statistics(ours), samples, labels), filled(metric.reference_statistics(real), reference)
    )


def found(subject: Subject, cuts: Sequence[int] = (0, COUNT), reference: int = 2) -> Mapping[str, float]:
    """The numbers of 40 samples that come in pieces."""
    parts = [slice(a, b) for a, b in pairwise(cuts)]
    return numbers(
        subject.build(),
        [features(0, rows) for rows in parts],
        [features(reference)],
        [LABELS[rows] for rows in parts],
    )


@rule("metric")
def it_gives_finite_floats_by_name(subject: Subject) -> None:
    """Its numbers are finite Python floats by name, the same each time."""
    values = found(subject)
    require(values, "it gives no number")
    for key, value in values.items():
        require(
            type(key) is str and type(value) is float,
            f"{key!r} is a {type(value).__name__}; return float(...)",
        )
        require(math.isfinite(value), f"'{key}' is {value}")
    require(
        values == found(subject),
        "two evaluations of the same features differ; draw from a generator of a fixed seed",
    )


@rule("metric")
def it_says_its_name_and_which_way_is_better(subject: Subject) -> None:
    """``name`` is what it is registered under, and ``better`` is higher, lower or None."""
    metric = subject.build()
    require(
        metric.name == subject.name, f"its name is '{metric.name}'; say '{subject.name}', as it is registered"
    )
    better = metric.better
    require(better in ("higher", "lower", None), f"better is {better!r}; say 'higher', 'lower' or None")


@rule("metric")
def the_cut_into_batches_does_not_matter(subject: Subject) -> None:
    """Samples that come in other batches give the same numbers."""
    _require_same(
        found(subject, (0, 1, 17, COUNT)),
        found(subject),
        "other batches give other numbers; accumulate sums, not means of batches",
    )


@rule("metric")
def its_statistics_can_be_stored_and_merged(subject: Subject) -> None:
    """Two halves, stored, loaded and merged, give the numbers of the whole: two processes equal one."""
    metric = subject.build()
    halves = []
    for rows in (slice(20), slice(20, COUNT)):
        half = {key: make() for key, make in metric.statistics(COUNT).items()}
        for key, one in half.items():
            one.update(features(0, rows), LABELS[rows], range(COUNT)[rows])
            again = metric.statistics(COUNT)[key]()
            again.load_state(one.state())
            half[key] = again
        halves.append(half)
    for key, one in halves[0].items():
        one.merge(halves[1][key])
    reference = filled(metric.reference_statistics(COUNT), [features(2)])
    _require_same(
        metric(halves[0], reference),
        found(subject),
        "statistics that were stored, loaded and merged give other numbers; put all they know into state()",
    )


@rule("metric")
def no_samples_are_an_error(subject: Subject) -> None:
    """Without samples it raises ThalwegError instead of a number."""
    try:
        values = numbers(subject.build(), [], [features(2)], [])
    except ThalwegError:
        return
    require(False, f"no samples give {dict(values)}; raise thalweg.DataError that says so")


def _require_same(one: Mapping[str, float], other: Mapping[str, float], message: str) -> None:
    require(one.keys() == other.keys(), message)
    for key, value in other.items():
        require(
            math.isclose(one[key], value, rel_tol=1e-9, abs_tol=1e-12),
            f"{message} ('{key}': {one[key]} and {value})",
        )
