"""What the metrics say where the answer is known."""

import math
import sys
from unittest import mock

import numpy as np
import pytest
import torch

from thalweg.config import component
from thalweg.errors import DataError, PluginError
from thalweg.facts import Facts
from thalweg.randomness import generator
from thalweg.types import Features
from thalweg_authoring.kinds.metrics import numbers
from thalweg_eval.metrics.nearest import nearest_distances

FACTS = Facts(shape=(3, 8, 8), classes=5)


def metric(name, **options):
    return component("metric", {"type": name, **options}).build(FACTS)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed, "test"))


def test_kid_is_unbiased_on_equal_distributions():
    found = [
        numbers(
            metric("kid", subsets=1, subset_size=50, seed=seed),
            [Features(normal(50, 8, seed=2 * seed))],
            [Features(normal(50, 8, seed=2 * seed + 1))],
        )["kid"]
        for seed in range(300)
    ]
    error = np.std(found) / math.sqrt(len(found))
    assert abs(np.mean(found)) < 3 * error
    assert min(found) < 0 < max(found)
    # The biased estimate adds the diagonals: about E k(x, x) - E k(x, y) over the number of images.
    assert error < 0.2 * 7 / 50


def test_kid_against_the_definition():
    one, two = normal(20, 5).double(), normal(30, 5, seed=1).double() + 0.5

    def kernel(x, y):
        return (x @ y.T / 5 + 1) ** 3

    inside = [
        (kernel(side, side).sum() - kernel(side, side).trace()) / (len(side) * (len(side) - 1))
        for side in (one, two[:20])
    ]
    seen = numbers(metric("kid", subsets=1, subset_size=20), [Features(one)], [Features(two[:20])])
    # With subsets as large as the sets, every order of the images gives the same.
    assert seen["kid"] == pytest.approx(float(sum(inside) - 2 * kernel(one, two[:20]).mean()), rel=1e-4)


def test_subsets_and_neighbours_need_images():
    few = [Features(normal(4, 3))]
    with pytest.raises(DataError, match="subsets of 1000 images, but there are 4"):
        numbers(metric("kid"), few, few)
    with pytest.raises(DataError, match="5 neighbours of every image, but there are 4"):
        numbers(metric("precision_recall", neighbours=5), few, few)
    with pytest.raises(DataError, match="cannot be cut into 10 splits"):
        metric("inception_score").statistics(4)
    with pytest.raises(DataError, match="no samples"):
        metric("inception_score", rule="blocks").statistics(0)
    with pytest.raises(DataError, match="among two images or more, but there are 1"):
        metric("nearest_neighbour").reference_statistics(1)


@pytest.mark.parametrize("name", ["kid", "precision_recall", "nearest_neighbour"])
def test_other_extractors_features_are_refused(name):
    options = {"subset_size": 5} if name == "kid" else {}
    with pytest.raises(DataError, match="width 3 cannot be compared with features of width 4"):
        numbers(metric(name, **options), [Features(normal(9, 3))], [Features(normal(9, 4))])


def test_without_torch_fidelity_its_extra_is_named():
    side = [Features(normal(9, 3))]
    with (
        mock.patch.dict(sys.modules, {"torch_fidelity.metric_prc": None}),
        pytest.raises(PluginError, match=r"pip install 'torch-fidelity"),
    ):
        numbers(metric("precision_recall"), side, side)


def test_precision_and_recall_know_what_is_missing():
    real = torch.cat([normal(60, 3), normal(60, 3, seed=1) + 100])
    half = normal(60, 3, seed=2)
    seen = numbers(metric("precision_recall"), [Features(half)], [Features(real)])
    assert seen["precision"] > 0.7
    assert 0.3 < seen["recall"] <= 0.5
    everywhere = numbers(metric("precision_recall"), [Features(real + 1000)], [Features(real)])
    assert everywhere == {"precision": 0.0, "recall": 0.0}


def test_the_inception_score_of_sure_and_unsure_classifiers():
    sure = torch.eye(5).repeat(40, 1) * 1000
    names = ("inception_score", "inception_score_std")
    seen = numbers(metric("inception_score", splits=4), [Features(sure, sure)])
    assert 4 < seen["inception_score"] <= 5  # shuffled splits are not quite balanced
    blocks = numbers(metric("inception_score", rule="blocks", block=50), [Features(sure, sure)])
    assert blocks == dict(zip(names, (pytest.approx(5), pytest.approx(0, abs=1e-9)), strict=True))
    unsure = torch.zeros(200, 5)
    seen = numbers(metric("inception_score"), [Features(unsure, unsure)])
    assert seen == dict(zip(names, (pytest.approx(1), pytest.approx(0, abs=1e-9)), strict=True))


def test_blocks_of_the_inception_score_follow_the_order_of_the_images():
    logits = torch.cat([torch.eye(5)[:1].repeat(50, 1), torch.eye(5).repeat(10, 1)]) * 1000
    seen = numbers(metric("inception_score", rule="blocks", block=50), [Features(logits, logits)])
    assert seen["inception_score"] == pytest.approx((1 + 5) / 2)


def test_the_clip_score_is_a_scaled_cosine_that_is_never_negative():
    images = torch.tensor([[3.0, 0], [0, 2], [-1, 0]])
    captions = torch.tensor([[1.0, 1], [0, 5], [1, 0]])
    seen = [Features(images[:2], captions=captions[:2]), Features(images[2:], captions=captions[2:])]
    expected = (math.sqrt(0.5) + 1 + 0) / 3
    assert numbers(metric("clip_score"), seen) == {"clip_score": pytest.approx(100 * expected)}
    assert numbers(metric("clip_score", scale=2.5), seen) == {"clip_score": pytest.approx(2.5 * expected)}


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_nearest_distances_against_all_distances(block):
    of, among = normal(23, 6).double(), normal(31, 6, seed=1).double()
    all_of_them = torch.cdist(of, among, compute_mode="donot_use_mm_for_euclid_dist")
    torch.testing.assert_close(nearest_distances(of, among, block, itself=False), all_of_them.min(1).values)
    own = torch.cdist(of, of, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(math.inf)
    torch.testing.assert_close(nearest_distances(of, of, block, itself=True), own.min(1).values)


def test_copies_of_training_images_are_found():
    training, fresh = normal(200, 8), normal(100, 8, seed=1)
    honest = numbers(metric("nearest_neighbour"), [Features(fresh)], [Features(training)])
    half = numbers(
        metric("nearest_neighbour", block=33),
        [Features(torch.cat([training[:100], fresh]))],
        [Features(training)],
    )
    assert honest["nearest_neighbour_closer"] < 0.1
    assert half["nearest_neighbour_closer"] == pytest.approx(0.5, abs=0.05)
    assert half["nearest_neighbour_p05"] == 0.0
    assert half["nearest_neighbour_real"] == honest["nearest_neighbour_real"] > 0
    assert honest["nearest_neighbour"] == pytest.approx(honest["nearest_neighbour_real"], rel=0.1)
