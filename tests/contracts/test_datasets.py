"""Every data set."""

import pytest
import torch

from contracts.catalogue import names, small
from image_makers import every_source
from shard_makers import make_shards
from thalweg.config import component
from thalweg.protocols import Split

EVERY = pytest.mark.parametrize("name", names("dataset"))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_shards(tmp_path / "shards")
    every_source(tmp_path)


def built(name):
    return component("dataset", small("dataset", name)).build()


def read(split, indices=None, seed=0):
    indices = range(len(split)) if indices is None else indices
    return split.batch(list(indices), torch.Generator().manual_seed(seed))


@EVERY
def test_config_and_data_set_state_the_same_facts(name):
    config = component("dataset", small("dataset", name))
    data = config.build()
    assert config.facts == data.facts
    for split in (data.train, data.validation):
        assert isinstance(split, Split)
        batch = read(split, [0])
        assert batch.clean.shape == (1, *data.facts.shape)
        assert batch.clean.dtype == torch.float32


@EVERY
def test_the_facts_are_known_before_anything_is_built(name, monkeypatch):
    config = component("dataset", small("dataset", name))
    facts = config.build().facts
    monkeypatch.setattr(type(config), "build", None)
    assert config.facts == facts


@EVERY
def test_splits_are_disjoint_and_the_same_every_time(name):
    first, second = built(name), built(name)
    parts = []
    for side in ("train", "validation"):
        ours, theirs = read(getattr(first, side)), read(getattr(second, side))
        assert torch.equal(ours.clean, theirs.clean)
        assert torch.equal(ours.condition.labels, theirs.condition.labels)
        parts.append({row.numpy().tobytes() for row in ours.clean})
    assert min(map(len, parts)) >= 1
    assert parts[0].isdisjoint(parts[1])


@EVERY
def test_labels_lie_within_the_classes(name):
    data = built(name)
    for split in (data.train, data.validation):
        labels = read(split).condition.labels
        assert (labels.shape, labels.dtype) == ((len(split),), torch.int64)
        assert 0 <= int(labels.min()) <= int(labels.max()) < data.facts.classes


@EVERY
def test_samples_come_in_the_order_asked_for_and_may_come_twice(name):
    split = built(name).train
    whole = read(split)
    chosen = read(split, [2, 0, 2, len(split) - 1])
    assert torch.equal(chosen.clean, whole.clean[[2, 0, 2, -1]])
    assert torch.equal(chosen.condition.labels, whole.condition.labels[[2, 0, 2, -1]])


@EVERY
def test_an_index_outside_is_an_error(name):
    split = built(name).train
    with pytest.raises(IndexError):
        read(split, [len(split)])


@EVERY
def test_a_batch_may_be_written_to(name):
    split = built(name).train
    kept = read(split, [0]).clean.clone()
    read(split, [0]).clean.fill_(7.0)
    assert torch.equal(read(split, [0]).clean, kept)


@EVERY
def test_images_are_bytes_where_there_are_any(name):
    data = built(name)
    images = data.images(read(data.train, [0, 1]).clean)
    if images is not None:
        assert images.dtype == torch.uint8
        assert images.shape[0] == 2
        assert images.shape[1] in (1, 3)
        assert images.float().std() > 0
