"""Every extractor, on a handful of images."""

import json

import attrs
import pytest
import torch

from contracts.catalogue import FACTS, names, small
from thalweg.config import component
from vision_makers import every_extractor

EXTRACTORS = pytest.mark.parametrize("name", names("extractor"))
IMAGES = attrs.evolve(FACTS, shape=(1, 8, 8))
LABELS = torch.arange(4) % 10
CAPTIONS = ["a photo of a bench", "a photo of a cow", "a photo of a bicycle", "a photo of a clock"]


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """A working folder in which all weights stand."""
    place = tmp_path_factory.mktemp("extractors")
    every_extractor(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        yield place


def images(count=4):
    draws = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, *IMAGES.shape), dtype=torch.uint8, generator=draws)


def extractor(name):
    made = component("extractor", small("extractor", name)).build(IMAGES)
    if hasattr(made, "fit"):
        made.fit(images(), LABELS, trained_on="noise")
    return made


def seen(made, rows=slice(None)):
    return made(images()[rows], CAPTIONS[rows]) if made.reads_captions else made(images()[rows])


@EXTRACTORS
def test_features_are_finite_float32_and_one_row_an_image(name):
    made = extractor(name)
    features = seen(made)
    for part in (features.pooled, features.logits, features.spatial, features.captions):
        if part is not None:
            assert part.shape[0] == 4
            assert part.dtype == torch.float32
            assert torch.isfinite(part).all()
            assert not part.requires_grad
    if made.labels_known:
        assert features.logits.shape == (4, IMAGES.classes)


@EXTRACTORS
def test_features_do_not_depend_on_the_neighbours_nor_on_the_call(name):
    made = extractor(name)
    whole = seen(made).pooled
    torch.testing.assert_close(seen(made, slice(1, 3)).pooled, whole[1:3], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(seen(extractor(name)).pooled, whole)


@EXTRACTORS
def test_it_says_what_it_is(name):
    made = extractor(name)
    assert made.identity["type"] == name
    assert json.loads(json.dumps(made.identity)) == made.identity
    assert made.identity == extractor(name).identity
    assert made.name


def test_numbers_of_different_extractors_bear_different_names():
    called = [extractor(name).number_name("frechet_distance") for name in names("extractor")]
    assert len(set(called)) == len(called)
    assert "fid" not in called
