"""Every source."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from contracts.catalogue import names, small
from image_makers import every_source
from thalweg.config import component
from thalweg.data.sources import source_of
from thalweg.protocols import Source

EVERY = pytest.mark.parametrize("name", names("source"))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    every_source(tmp_path)


def built(name):
    return component("source", small("source", name)).build()


@EVERY
def test_records_are_images_under_keys_of_their_own(name):
    source = built(name)
    records = [source[index] for index in range(len(source))]
    assert len({record.key for record in records}) == len(records) >= 1
    for record in records:
        assert record.image.dtype == np.uint8
        assert record.image.ndim == 3
        assert record.image.shape[2] in (1, 3)
        assert record.image.flags.writeable


@EVERY
def test_classes_and_captions_are_what_the_source_says(name):
    source = built(name)
    records = [source[index] for index in range(len(source))]
    labels = [record.label for record in records]
    if source.classes is None:
        assert set(labels) == {None}
        assert source.class_names == ()
    else:
        assert 0 <= min(labels) <= max(labels) < source.classes
        assert len(source.class_names) in (0, source.classes)
    assert {bool(record.captions) for record in records} == {source.captioned}
    # What is offered beyond the protocol: the classes without reading an image.
    assert getattr(source, "labels", None) in (None, labels)


@EVERY
def test_an_index_outside_is_an_error(name):
    source = built(name)
    with pytest.raises(IndexError):
        source[len(source)]


@EVERY
def test_two_of_one_source_are_the_same(name):
    first, second = built(name), built(name)
    assert isinstance(first, Source)
    assert first.identity == second.identity
    assert first.identity.startswith(f"{name}:")
    for index in range(len(first)):
        ours, theirs = first[index], second[index]
        assert (ours.key, ours.label, ours.captions) == (theirs.key, theirs.label, theirs.captions)
        assert np.array_equal(ours.image, theirs.image)


@EVERY
def test_several_threads_read_what_one_does(name):
    source = built(name)
    alone = [source[index].image for index in range(len(source))]
    fresh = built(name)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda index: fresh[index % len(fresh)].image, range(3 * len(fresh))))
    assert all(np.array_equal(image, alone[i % len(alone)]) for i, image in enumerate(together))


def test_identities_tell_sources_apart():
    assert len({built(name).identity for name in names("source")}) == len(names("source"))


@EVERY
def test_the_type_is_guessed_from_what_lies_there(name):
    options = small("source", name)
    assert source_of(options["url"]).identity == built(name).identity
    assert source_of(options["url"], type=name, storage_options={}).identity == built(name).identity
    assert source_of(options).identity == built(name).identity
    assert source_of(component("source", options)).identity == built(name).identity
