"""A flipped bit in whatever is kept to be counted later never changes a result in silence."""

import json
import logging
import random

import numpy as np
import pytest
import torch

import thalweg_eval
from evaluated import npz
from shard_makers import header, samples
from thalweg.config import component
from thalweg.data.shards import ShardWriter, TextHeader, verify
from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.generation.blocks import Blocks, SampleRecorder
from thalweg.generation.source import GeneratedSamples, SampleSource
from thalweg.image_sets.notes import any_note, note_of, read_note, write_note
from thalweg.image_sets.npz import NpzImages, read_array
from thalweg.jobs.ranges import without
from thalweg.storage import Location
from thalweg.tensor_files import open_sealed, write_sealed
from thalweg.types import Features
from thalweg_backbones.foreign.checkpoints import read_foreign
from thalweg_eval.evaluation.features import FeatureMetrics
from thalweg_eval.evaluation.partial_statistics import PartialStatistics
from thalweg_eval.evaluation.reference_statistics import (
    ReferenceCache,
    ReferenceEntry,
    ReferenceFile,
    write_reference,
)

PLACES = 150
DRAWS = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
METRIC = component("metric", "frechet_distance").build(Facts(shape=(3, 8, 8)))
ENTRY = ReferenceEntry(
    {"kind": "npz", "sha256": "ff"}, 20, {"type": "inception", "weights": "aa"}, "moments:pooled"
)


def flipped(content, seed, places=PLACES):
    """The same with one bit changed, at many places: in the beginning, where headers are, and anywhere."""
    draws = random.Random(seed)
    for at in range(places):
        changed = bytearray(content)
        end = min(len(content), 600) if at % 2 else len(content)
        changed[draws.randrange(end)] ^= 1 << draws.randrange(8)
        yield bytes(changed)


def outcome(act):
    """What it gives, and what it says if it refuses."""
    try:
        return act(), ""
    except DataError as error:
        return None, str(error)


def statistic(start=0, stop=20):
    ((_, make),) = METRIC.statistics(20).items()
    one = make()
    if stop > start:
        one.update(Features(DRAWS[start:stop]), None, range(start, stop))
    return one


def same(one, other):
    return all(torch.equal(tensor, other.state()[name]) for name, tensor in one.state().items())


class Eye:
    name, title, offers = "eye", "Eye", frozenset({"pooled"})
    identity = ENTRY.extractor


def test_any_type_is_read_as_it_was_written(tmp_path):
    tensors = {
        str(dtype): torch.arange(6).reshape(2, 3).to(dtype)
        for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8)
    }
    tensors |= {"bool": torch.tensor([True, False]), "none": torch.zeros(0, 3), "one": torch.tensor(7)}
    write_sealed(tmp_path / "new/x.safetensors", tensors, {"a": "é", "b": ""})
    file = open_sealed(tmp_path / "new/x.safetensors")
    assert file.metadata == {"a": "é", "b": ""}
    assert file.names == sorted(tensors)
    for name, tensor in tensors.items():
        assert file.tensor(name).dtype == tensor.dtype
        assert torch.equal(file.tensor(name), tensor)


def test_statistics_of_a_reference(tmp_path):
    path, kept = tmp_path / "x.safetensors", statistic()
    write_reference(path, [(ENTRY, kept)])
    features, found = FeatureMetrics("eye", Eye(), {}), 0
    for content in flipped(path.read_bytes(), 1):
        path.write_bytes(content)
        read = statistic(0, 0)
        _, said = outcome(lambda: ReferenceFile(path).read(features, "eye/moments:pooled", read))  # noqa: B023
        assert str(path) in said or same(read, kept)
        found += bool(said)
    assert found > PLACES * 0.8


def test_the_cache_of_references(tmp_path, caplog):
    cache, kept = ReferenceCache(tmp_path), statistic()
    cache.put(ENTRY, kept)
    (path,) = tmp_path.iterdir()
    for content in flipped(path.read_bytes(), 2):
        path.write_bytes(content)
        read = statistic(0, 0)
        caplog.clear()
        if cache.get(ENTRY, read):
            assert same(read, kept)
        else:
            (record,) = caplog.records
            assert path.name in record.getMessage()
    cache.put(ENTRY, kept)
    assert cache.get(ENTRY, statistic(0, 0))


@pytest.mark.parametrize("when", ["before", "while it goes on"])
def test_what_has_been_seen(tmp_path, caplog, when):
    makers = {"eye/moments:pooled": METRIC.statistics(20)["moments:pooled"]}
    first = PartialStatistics(tmp_path, makers)
    first.add([(0, 14)], {"eye/moments:pooled": statistic(0, 14)})
    first.add([(14, 17)], {"eye/moments:pooled": statistic(14, 17)})
    whole = statistic()
    contents = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for number, content in enumerate(flipped(next(iter(contents.values())), 3)):
        for path in tmp_path.iterdir():
            path.unlink()
        for path, former in contents.items():
            path.write_bytes(former)
        parts = PartialStatistics(tmp_path, makers)
        if when == "while it goes on":
            assert parts.done() == [(0, 17)]
        damaged = next(iter(contents))
        damaged.write_bytes(content)
        caplog.clear()
        merged = None
        for _ in range(2):
            for start, stop in without([(0, 20)], parts.done()):
                parts.add([(start, stop)], {"eye/moments:pooled": statistic(start, stop)})
            merged = merged or parts.merged()
        assert merged is not None
        (one,) = merged.values()
        assert one.count == 20, number
        torch.testing.assert_close(one.scatter_FF, whole.scatter_FF)
        assert damaged.exists() != (damaged.name in caplog.text)


class Source(SampleSource):
    """Samples that are their index."""

    total_nfe = 0

    def __init__(self):
        pass

    def __call__(self, indices):
        self.total_nfe += len(indices)
        return GeneratedSamples(
            torch.tensor(list(indices)).float().view(-1, 1, 1, 1).expand(-1, 1, 4, 4).contiguous(),
            torch.tensor(list(indices)),
            None,
        )


def test_drawn_samples(tmp_path, caplog):
    def complete():
        blocks = Blocks(tmp_path)
        blocks.sift()
        for start, stop in without([(0, 6)], blocks.done()):
            SampleRecorder(Source(), None, tmp_path).take(start, stop)
        found = list(blocks)
        assert torch.cat([block.tensors["labels"] for block in found]).tolist() == list(range(6))
        assert torch.cat([block.tensors["x"] for block in found])[:, 0, 0, 0].tolist() == list(range(6))
        assert blocks.total_nfe == 6

    SampleRecorder(Source(), None, tmp_path).take(0, 4)
    complete()
    path = tmp_path / "000000000-000000004.safetensors"
    former = path.read_bytes()
    found = 0
    for content in flipped(former, 4):
        path.write_bytes(content)
        caplog.clear()
        complete()
        found += path.name in caplog.text
    assert found > PLACES * 0.8
    path.write_bytes(former)
    path.rename(tmp_path / "000000001-000000005.safetensors")
    caplog.clear()
    complete()
    assert "holds other samples than its name says" in caplog.text


def test_notes_of_how_samples_were_drawn(tmp_path):
    images, identity = tmp_path / "x.npz", {"kind": "npz", "images": 2, "sha256": "ff"}
    drawn = {"sampler": {"type": "euler", "steps": 250}, "seed": 3}
    write_note(
        note_of(images), {"images": identity, "sampling": drawn, "captions": ["a red\udcff apple", "b"]}
    )
    assert any_note(note_of(images))["captions"] == ["a red? apple", "b"]
    for content in flipped(note_of(images).read_bytes(), 5):
        note_of(images).write_bytes(content)
        note = any_note(note_of(images))
        assert note is None or note["sampling"] == drawn
        read, said = outcome(lambda: read_note(images, identity))
        assert read == drawn or "in no readable way" in said


@pytest.mark.parametrize(
    "name",
    ["shard-00000.safetensors", "shard-00000.json", "empty.safetensors", "empty.json", "unfinished.json"],
)
def test_progress_of_encoding(tmp_path, caplog, name):
    text = TextHeader(identity={"type": "bert"}, length=3, width=2)

    def writer():
        return ShardWriter(Location(tmp_path), header(text=text), shard_samples=5)

    def complete(one):
        for number in set(range(3)) - set(one.written):
            held = one.samples(number)
            one.write_shard(number, samples(one.header, held.start, len(held)))
        if not one.has_empty:
            one.write_empty(torch.zeros(3, 2).half(), torch.ones(3, dtype=torch.bool))

    complete(writer())
    contents = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    index = writer().finish()
    found = 0
    for content in flipped(contents[name], 6, 40):
        for path in tmp_path.iterdir():
            path.unlink()
        for other, former in contents.items():
            (tmp_path / other).write_bytes(former)
        (tmp_path / name).write_bytes(content)
        caplog.clear()
        one, said = outcome(writer)
        if one is None:
            assert name == "unfinished.json"
            assert name in said
            found += 1
            continue
        complete(one)
        assert one.finish() == index
        assert verify(Location(tmp_path)).damaged == ()
        found += name in caplog.text
    assert found > 30


def test_archives_of_torch(tmp_path):
    path = tmp_path / "x.pt"
    weights = {"a": torch.randn(40, 5), "b": torch.arange(3), "c": torch.ones(7).half()}
    torch.save({"ema": weights}, path)
    found = 0
    for content in flipped(path.read_bytes(), 7, 2 * PLACES):
        path.write_bytes(content)
        try:
            read = read_foreign(path)
        except DataError:
            found += 1
        else:
            assert read.keys() == weights.keys()
            assert all(torch.equal(read[key], weights[key]) for key in weights)
    assert found > PLACES


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_images_and_moments(tmp_path, write):
    stored = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3), dtype=np.uint8)
    path = tmp_path / "x.npz"
    write(path, arr_0=stored, arr_1=np.arange(9), mu=np.linspace(0, 1, 50))
    found = 0
    for content in flipped(path.read_bytes(), 8, 2 * PLACES):
        path.write_bytes(content)
        try:
            read = NpzImages(path).read(0, 9)
            mean = read_array(path, "mu")
        except DataError:
            found += 1
        else:
            assert np.array_equal(read.images.permute(0, 2, 3, 1).numpy(), stored)
            assert np.array_equal(mean, np.linspace(0, 1, 50))
            assert read.labels is None or read.labels.tolist() == list(range(9))
    assert found > PLACES


def test_an_evaluation_says_which_of_its_files_is_damaged(tmp_path, caplog):
    options = {
        "reference": npz(tmp_path / "real.npz", 30, seed=1), "metrics": ["frechet_distance"],
        "extractor": "small_classifier", "settings": ["features.small_classifier.extractor.steps=2"],
        "work": tmp_path / "work",
    }  # fmt: skip
    samples_at = npz(tmp_path / "a.npz", 30)
    first = thalweg_eval.evaluate(samples_at, **options)
    (kept,) = (tmp_path / "work/references").iterdir()
    content = bytearray(kept.read_bytes())
    content[-9] ^= 4
    kept.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        again = thalweg_eval.evaluate(samples_at, **options)
    assert again.values == first.values
    assert [kept.name in record.getMessage() for record in caplog.records] == [True]
    caplog.clear()
    assert thalweg_eval.evaluate(samples_at, **options).values == first.values
    assert not caplog.records
    assert json.dumps(again.conditions) == json.dumps(first.conditions)
