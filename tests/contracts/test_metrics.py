"""Every metric, on a handful of features."""

from itertools import pairwise

import pytest
import torch

from contracts.catalogue import FACTS, draws, names, small
from metric_runs import filled, numbers
from thalweg.config import component
from thalweg.errors import ThalwegError
from thalweg.types import Features

METRICS = pytest.mark.parametrize("name", names("metric"))
LABELS = torch.arange(40) % 10


def features(seed, rows=slice(None)):
    pooled, logits, spatial = (draws(40, width, seed=seed + width) for width in (12, 10, 8))
    captions = draws(40, 12, seed=seed)
    return Features(pooled[rows].abs(), logits[rows], spatial[rows], captions[rows])


def metric(name):
    return component("metric", small("metric", name)).build(FACTS)


def found(name, cuts=(0, 40), reference=2):
    parts = [slice(a, b) for a, b in pairwise(cuts)]
    return numbers(
        metric(name),
        [features(0, rows) for rows in parts],
        [features(reference)],
        [LABELS[rows] for rows in parts],
    )


@METRICS
def test_it_bears_the_name_it_is_registered_under(name):
    assert metric(name).name == name


@METRICS
def test_it_says_which_way_its_numbers_are_better(name):
    assert metric(name).better in ("higher", "lower", None)


@METRICS
def test_it_gives_finite_floats_by_name(name):
    values = found(name)
    assert values
    assert all(type(key) is str and type(value) is float for key, value in values.items())
    assert torch.isfinite(torch.tensor(list(values.values()))).all()
    assert values == found(name)


@METRICS
def test_the_cut_into_batches_does_not_matter(name):
    assert found(name, (0, 1, 17, 40)) == pytest.approx(found(name), rel=1e-9)


@METRICS
def test_the_statistics_can_be_stored_and_merged(name):
    made = metric(name)
    expected = found(name)
    halves = []
    for rows in (slice(20), slice(20, 40)):
        half = {key: make() for key, make in made.statistics(40).items()}
        for key, one in half.items():
            one.update(features(0, rows), LABELS[rows], range(40)[rows])
            again = made.statistics(40)[key]()
            again.load_state(one.state())
            half[key] = again
        halves.append(half)
    for key, one in halves[0].items():
        one.merge(halves[1][key])
    reference = filled(made.reference_statistics(40), [features(2)])
    assert made(halves[0], reference) == pytest.approx(expected, rel=1e-9)


@METRICS
def test_no_samples_are_an_error(name):
    with pytest.raises(ThalwegError):
        numbers(metric(name), [], [features(2)], [])


def test_metrics_that_share_a_key_share_its_statistic():
    kinds = {}
    for name in names("metric"):
        for key, make in metric(name).statistics(40).items():
            assert kinds.setdefault(key, type(make())) is type(make()), key
