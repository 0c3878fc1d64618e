"""What a metric keeps, on a handful of features."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from thalweg.errors import ThalwegError
from thalweg.protocols import Metric, Statistic
from thalweg.types import Features
from thalweg_authoring.imports import imported_by
from thalweg_authoring.numbers import draws
from thalweg_authoring.rules import require, require_raises, rule
from thalweg_authoring.subject import Subject

COUNT = 40
LABELS = torch.arange(COUNT) % 10


def features(seed: int, rows: slice = slice(None), columns: slice = slice(None)) -> Features:
    """Features of all kinds of some of 40 images."""
    whole = [draws(COUNT, width, seed=seed + width) for width in (12, 10, 8)]
    pooled, logits, spatial, captions = (one[rows, columns] for one in (*whole, draws(COUNT, 12, seed=seed)))
    return Features(pooled.abs(), logits, spatial, captions, torch.arange(COUNT)[rows] % 25)


def filled(
    makers: Mapping[str, Callable[[], Statistic]],
    batches: Sequence[Features],
    labels: Sequence[Tensor] | None = None,
) -> dict[str, Statistic]:
    """Every statistic, updated with all batches in order."""
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
    with require_raises(ThalwegError, "no samples give a number; raise thalweg.DataError that says so"):
        numbers(subject.build(), [], [features(2)], [])


@rule("metric")
def what_does_not_go_together_is_found_beforehand(subject: Subject) -> None:
    """A reference of other features, of which it gives no number, is refused by check()."""
    metric, stand_ins = _with_stand_ins(subject)
    makers = metric.reference_statistics(COUNT)
    fitting, other = filled(makers, [features(2)]), filled(makers, [features(2, columns=slice(-1))])
    for reference in ({}, fitting):
        try:
            _check(metric, stand_ins, reference)
        except ThalwegError as error:
            require(False, f"check() objects to sides that go together: {error}")
    try:
        metric(filled(metric.statistics(COUNT), [features(0)], [LABELS]), other)
    except Exception:
        message = (
            "a reference of narrower features fails when all images were read; compare in check(samples, "
            "reference), and raise thalweg.DataError"
        )
        with require_raises(ThalwegError, message):
            _check(metric, stand_ins, other)


@rule("metric")
def packages_are_looked_for_beforehand(subject: Subject) -> None:
    """Whatever package it imports for its numbers, check() imports before images are read."""
    metric, stand_ins = _with_stand_ins(subject)
    reference = filled(metric.reference_statistics(COUNT), [features(2)])
    with imported_by(metric) as before:
        _check(metric, stand_ins, reference)
    samples = filled(metric.statistics(COUNT), [features(0)], [LABELS])
    with imported_by(metric) as after:
        metric(samples, reference)
    late = sorted(after - before)
    require(
        not late,
        f"{', '.join(late)} is imported only when all images were read; import it in check() too, and raise "
        "thalweg.PluginError where it is missing",
    )


def _with_stand_ins(subject: Subject) -> tuple[Metric, dict[str, Statistic]]:
    metric, rows = subject.build(), slice(2)
    return metric, filled(metric.statistics(COUNT), [features(0, rows)], [LABELS[rows]])


def _check(metric: Metric, samples: Mapping[str, Statistic], reference: Mapping[str, Statistic]) -> None:
    check = getattr(metric, "check", None)
    if check is not None:
        check(samples, reference)


def _require_same(one: Mapping[str, float], other: Mapping[str, float], message: str) -> None:
    require(one.keys() == other.keys(), message)
    for key, value in other.items():
        require(
            math.isclose(one[key], value, rel_tol=1e-9, abs_tol=1e-12),
            f"{message} ('{key}': {one[key]} and {value})",
        )
