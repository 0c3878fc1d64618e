"""Statistics come to the same however the images are cut, spread and interrupted."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts
from thalweg.randomness import generator
from thalweg.types import Features
from thalweg_eval.metrics.accuracy import Accuracy
from thalweg_eval.metrics.clip_score import ClipScoreConfig
from thalweg_eval.metrics.inception_score import InceptionScoreConfig
from thalweg_eval.statistics.collected import Collected
from thalweg_eval.statistics.moments import FeatureMoments
from thalweg_eval.statistics.splits import SplitProbabilities

COUNT = 90
FACTS = Facts(shape=(3, 8, 8), classes=5)
DRAWS = [torch.randn(COUNT, width, generator=generator(width, "test")) for width in (6, 5, 4, 6)]
LABELS = torch.arange(COUNT) % 5


def makers():
    found = {
        "moments:pooled": FeatureMoments,
        "moments:spatial": partial(FeatureMoments, "spatial"),
        "features": Collected,
    }
    for metric in (
        Accuracy(),
        ClipScoreConfig().build(FACTS),
        InceptionScoreConfig(splits=4).build(FACTS),
        InceptionScoreConfig(rule="blocks", block=25).build(FACTS),
    ):
        found |= metric.statistics(COUNT)
    return found


MAKERS = makers()
KINDS = pytest.mark.parametrize("key", MAKERS)


def take(statistic, places):
    parts = [one[places] for one in DRAWS]
    features = Features(pooled=parts[0] + 100, logits=parts[1], spatial=parts[2], captions=parts[3])
    statistic.update(features, LABELS[places], list(places))
    return statistic


def same(one, other):
    if isinstance(one, Collected):
        assert torch.equal(one.ordered(), other.ordered())
        return
    found, expected = one.state(), other.state()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        np.testing.assert_allclose(found[name], tensor, rtol=1e-10, atol=1e-10)


@KINDS
@settings(max_examples=15, deadline=None)
@given(ranks=st.integers(1, 3), batch=st.integers(1, 40), stride=st.booleans())
def test_ranks_and_batches_do_not_matter(key, ranks, batch, stride):
    whole = take(MAKERS[key](), range(COUNT))
    parts = []
    for rank in range(ranks):
        mine = (
            range(rank, COUNT, ranks) if stride else range(COUNT * rank // ranks, COUNT * (rank + 1) // ranks)
        )
        statistic = MAKERS[key]()
        for start in range(0, len(mine), batch):
            take(statistic, mine[start : start + batch])
        parts.append(statistic)
    first, *rest = parts[::-1]
    for part in rest:
        first.merge(part)
    same(first, whole)


@KINDS
def test_an_interrupted_one_resumes_from_its_state(key):
    statistic = take(MAKERS[key](), range(40))
    stored = {name: tensor.clone() for name, tensor in statistic.state().items()}
    take(statistic, range(40, COUNT))
    resumed = MAKERS[key]()
    resumed.load_state(stored)
    kept = copy.deepcopy(stored)
    take(resumed, range(40, COUNT))
    same(resumed, statistic)
    assert all(torch.equal(stored[name], kept[name]) for name in stored)  # what was stored is not written to
    assert all(tensor.device.type == "cpu" for tensor in stored.values())


@KINDS
def test_one_that_has_seen_nothing_adds_nothing(key):
    whole = take(MAKERS[key](), range(COUNT))
    resumed = MAKERS[key]()
    resumed.load_state(MAKERS[key]().state())
    resumed.merge(take(MAKERS[key](), range(COUNT)))
    resumed.merge(MAKERS[key]())
    same(resumed, whole)


def test_moments_hold_no_images():
    statistic = FeatureMoments()
    for start in range(0, COUNT, 7):
        take(statistic, range(start, min(start + 7, COUNT)))
    assert sum(tensor.numel() for tensor in statistic.state().values()) == 1 + 6 + 36


def test_published_moments_can_be_loaded():
    pooled = DRAWS[0].double()
    statistic = FeatureMoments()
    covariance = torch.cov(pooled.T)
    statistic.load_state(
        {"count": torch.tensor(COUNT), "mean": pooled.mean(0), "scatter": covariance * (COUNT - 1)}
    )
    torch.testing.assert_close(statistic.covariance(), covariance)


def test_collected_features_are_in_the_order_of_their_images_and_none_counts_twice():
    statistic = take(take(Collected(), range(50, COUNT)), range(50))
    assert torch.equal(statistic.ordered(), DRAWS[0] + 100)
    with pytest.raises(DataError, match="image 7 was counted twice"):
        take(statistic, [7]).ordered()
    with pytest.raises(DataError, match="no images"):
        Collected().ordered()
    with pytest.raises(DataError, match="width 3 meet features of width 6"):
        statistic.update(Features(torch.zeros(1, 3)), None, [99])
    with pytest.raises(DataError, match="1 images but 2 indices"):
        statistic.update(Features(torch.zeros(1, 6)), None, [98, 99])


def test_what_an_extractor_does_not_see_is_said():
    bare = Features(torch.zeros(2, 6))
    with pytest.raises(ConfigError, match="take 'inception'"):
        FeatureMoments("spatial").update(bare, None, [0, 1])
    with pytest.raises(ConfigError, match="no classifier"):
        SplitProbabilities([0, 0], 1).update(bare, None, [0, 1])
    with pytest.raises(ConfigError, match="give images with captions"):
        MAKERS["cosines"]().update(bare, None, [0, 1])
    with pytest.raises(DataError, match="outside the 2 that were announced"):
        SplitProbabilities([0, 0], 1).update(Features(torch.zeros(1, 6), torch.zeros(1, 3)), None, [2])
    with pytest.raises(DataError, match="a split of the images is empty"):
        SplitProbabilities([0, 1], 2).scores()
