"""Every metric and extractor, on a handful of features."""

from itertools import pairwise

import attrs
import pytest
import torch

from contracts.catalogue import FACTS, draws, names, small
from thalweg.config import component
from thalweg.errors import ThalwegError
from thalweg.types import Features

METRICS = pytest.mark.parametrize("name", names("metric"))
EXTRACTORS = pytest.mark.parametrize("name", names("extractor"))
LABELS = torch.arange(40) % 10
IMAGES = attrs.evolve(FACTS, shape=(1, 8, 8))


def features(seed, rows=slice(None)):
    pooled, logits = draws(40, 6, seed=seed), draws(40, 10, seed=seed + 1)
    return Features(pooled=pooled[rows], logits=logits[rows])


def number(name, cuts=(0, 40), reference=2):
    metric = component("metric", name).build(FACTS)
    parts = [slice(a, b) for a, b in pairwise(cuts)]
    return metric(
        iter([features(0, rows) for rows in parts]),
        iter([features(reference)]),
        iter([LABELS[rows] for rows in parts]),
    )


@METRICS
def test_it_bears_the_name_it_is_registered_under(name):
    assert component("metric", name).build(FACTS).name == name


@METRICS
def test_it_gives_one_finite_float(name):
    value = number(name)
    assert type(value) is float
    assert torch.isfinite(torch.tensor(value))
    assert value == number(name)


@METRICS
def test_the_cut_into_batches_does_not_matter(name):
    assert number(name, (0, 1, 17, 40)) == pytest.approx(number(name), rel=1e-9)


@METRICS
def test_no_samples_are_an_error(name):
    metric = component("metric", name).build(FACTS)
    with pytest.raises(ThalwegError):
        metric(iter([]), iter([features(2)]), iter([]))


def images(count=12):
    return torch.randint(
        0, 256, (count, *IMAGES.shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def extractor(name):
    made = component("extractor", small("extractor", name)).build(IMAGES)
    if hasattr(made, "fit"):
        made.fit(images(), LABELS[:12], trained_on="noise")
    return made


@EXTRACTORS
def test_features_are_finite_and_one_row_an_image(name):
    made = extractor(name)
    seen = made(images())
    assert made.name.startswith(name)
    assert seen.pooled.shape[0] == 12
    assert torch.isfinite(seen.pooled).all()
    assert not seen.pooled.requires_grad
    if made.labels_known:
        assert seen.logits.shape == (12, IMAGES.classes)


@EXTRACTORS
def test_features_do_not_depend_on_the_neighbours_nor_on_the_call(name):
    made = extractor(name)
    whole = made(images()).pooled
    torch.testing.assert_close(made(images()[3:5]).pooled, whole[3:5])
    torch.testing.assert_close(extractor(name)(images()).pooled, whole)
