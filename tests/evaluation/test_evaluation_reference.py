"""Statistics of references: kept, written, read back exactly, and taken from ADM's files."""

import numpy as np
import pytest
import torch

from thalweg.config import component
from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.tensor_files import write_tensors
from thalweg.types import Features
from thalweg_eval.evaluation.features import FeatureMetrics
from thalweg_eval.evaluation.reference_statistics import (
    ReferenceCache,
    ReferenceEntry,
    ReferenceFile,
    stored_moments,
    write_reference,
)

COUNT, WIDTH = 30, 6
DRAWS = torch.randn(2, COUNT, WIDTH, generator=torch.Generator().manual_seed(0))
METRIC = component("metric", "frechet_distance").build(Facts(shape=(3, 8, 8)))


class Eye:
    """An extractor that is never called."""

    name, title, offers = "eye", "Eye", frozenset({"pooled"})

    def __init__(self, kind="inception", weights="aa"):
        self.identity = {"type": kind, "weights": weights}

    def __call__(self, images, captions=None):
        pytest.fail("it was called")

    def number_name(self, number):
        return number


def metrics(**identity):
    return FeatureMetrics("eye", Eye(**identity), {"frechet_distance": METRIC})


def moments(pooled, prefix="eye/"):
    ((key, make),) = METRIC.statistics(COUNT).items()
    statistic = make()
    statistic.update(Features(pooled), None, range(len(pooled)))
    return {prefix + key: statistic}


def entry(**changes):
    fields = {
        "images": {"kind": "npz", "sha256": "ff"},
        "count": COUNT,
        "extractor": Eye().identity,
        "statistic": "moments:pooled",
    }
    return ReferenceEntry(**{**fields, **changes})


def test_moments_that_adm_stores_give_the_distance_to_the_images_they_are_of(tmp_path):
    samples, real = DRAWS.double().unbind()
    sigma = np.cov(real.numpy(), rowvar=False)
    np.savez(tmp_path / "adm.npz", mu=real.mean(0).numpy(), sigma=sigma)
    makers = metrics().makers(COUNT, reference=True)
    by_file = metrics().numbers(moments(samples), stored_moments(tmp_path / "adm.npz", metrics(), makers))
    by_images = metrics().numbers(moments(samples), moments(real))
    assert by_file["frechet_distance"]["value"] == pytest.approx(
        by_images["frechet_distance"]["value"], rel=1e-9
    )
    with pytest.raises(DataError, match="moments of Inception's features"):
        stored_moments(tmp_path / "adm.npz", metrics(kind="lite0"), makers)


def test_the_cache_gives_back_exactly_what_it_was_given(tmp_path):
    cache = ReferenceCache(tmp_path)
    ((_, kept),) = moments(DRAWS[0]).items()
    ((_, found),) = moments(DRAWS[1]).items()
    assert not cache.get(entry(), found)
    cache.put(entry(), kept)
    assert cache.get(entry(), found)
    for name, tensor in kept.state().items():
        assert torch.equal(found.state()[name], tensor)


@pytest.mark.parametrize(
    "changes",
    [
        {"images": {"kind": "npz", "sha256": "fe"}},
        {"count": COUNT - 1},
        {"extractor": {"type": "inception", "weights": "ab"}},
        {"extractor": {"type": "inception", "weights": "aa", "resize": "PIL"}},
        {"statistic": "moments:spatial"},
    ],
)
def test_whatever_decides_a_statistic_decides_the_key(tmp_path, changes):
    ((_, kept),) = moments(DRAWS[0]).items()
    cache = ReferenceCache(tmp_path)
    cache.put(entry(), kept)
    assert not cache.get(entry(**changes), kept)


def test_a_damaged_file_of_the_cache_counts_as_none(tmp_path):
    cache = ReferenceCache(tmp_path)
    ((_, kept),) = moments(DRAWS[0]).items()
    cache.put(entry(), kept)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:100])
    assert not cache.get(entry(), kept)


def test_a_file_of_another_extractor_names_what_differs(tmp_path):
    ((key, kept),) = moments(DRAWS[0]).items()
    write_reference(tmp_path / "x.safetensors", [(entry(), kept)])
    file = ReferenceFile(tmp_path / "x.safetensors")
    file.read(metrics(), key, kept)
    with pytest.raises(DataError, match="another extractor: weights 'aa' instead of 'bb'"):
        file.read(metrics(weights="bb"), key, kept)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "holds no statistics of a reference"),
        ({"format": "thalweg-reference", "version": "9"}, "has format version 9"),
    ],
)
def test_foreign_and_newer_files_are_refused(tmp_path, metadata, message):
    write_tensors(tmp_path / "x.safetensors", {"a": torch.zeros(1)}, metadata)
    with pytest.raises(DataError, match=message):
        ReferenceFile(tmp_path / "x.safetensors")
