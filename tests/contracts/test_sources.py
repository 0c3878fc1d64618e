"""Sources side by side, and how one is guessed from what lies there."""

import pytest

from contracts.catalogue import names, small
from image_makers import every_source
from thalweg.config import component
from thalweg.data.sources import source_of

EVERY = pytest.mark.parametrize("name", names("source"))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    every_source(tmp_path)


def built(name):
    return component("source", small("source", name)).build()


def test_identities_tell_sources_apart():
    assert len({built(name).identity for name in names("source")}) == len(names("source"))


@EVERY
def test_the_type_is_guessed_from_what_lies_there(name):
    options = small("source", name)
    if "url" not in options:
        assert source_of(name).identity == component("source", {"type": name}).build().identity
        return
    assert source_of(options["url"]).identity == built(name).identity
    assert source_of(options["url"], type=name, storage_options={}).identity == built(name).identity
    assert source_of(options).identity == built(name).identity
    assert source_of(component("source", options)).identity == built(name).identity
