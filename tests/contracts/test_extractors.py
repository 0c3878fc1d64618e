"""Extractors side by side."""

from contracts.catalogue import names, subject
from thalweg.testing.kinds.extractors import made
from vision_makers import every_extractor


def test_numbers_of_different_extractors_bear_different_names(tmp_path, monkeypatch):
    every_extractor(tmp_path)
    monkeypatch.chdir(tmp_path)
    called = [made(subject("extractor", name)).number_name("frechet_distance") for name in names("extractor")]
    assert len(set(called)) == len(called)
    assert "fid" not in called


def test_the_small_classifier_knows_the_labels():
    one = made(subject("extractor", "small_classifier"))
    assert one.labels_known
