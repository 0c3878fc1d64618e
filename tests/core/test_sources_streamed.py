"""Tar files as a stream of shards: the same samples, in an order that a killed run finds again."""

import json
import logging
import os
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

import streamed_runs
from fault_server import Fault, FaultServer
from image_makers import encoded, image_tars, pixels, tar
from thalweg.config import component
from thalweg.data.caption_reader import CaptionReader
from thalweg.data.caption_table import CaptionTable
from thalweg.data.order import indices
from thalweg.data.split import held_out_in_shards
from thalweg.errors import ConfigError, DataError
from thalweg.storage import Location, retrying
from thalweg.types import EncodedCaptions
from tiny_runs import lines, tensor_files

COUNT, SHARDS = 32, 8


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The user's cache, where nothing is yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "thalweg"


@pytest.fixture
def tars(tmp_path):
    return image_tars(tmp_path / "tars", count=COUNT, parts=SHARDS)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A proxy that can spoil what a web server for ``tmp_path`` answers."""
    monkeypatch.setattr(retrying, "sleep", lambda seconds: None)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with FaultServer(server.server_port) as proxy:
        yield proxy
    server.shutdown()
    server.server_close()


def source(url, **options):
    return component("source", {"type": "tar", "url": str(url), **options}).build()


def streamed(url, **options):
    return source(url, stream=True, classes=3, **options)


def copies(cache):
    return [one for one in cache.iterdir() if len(one.name) == 64]


def test_the_samples_are_those_of_the_same_files_and_the_identity_is_of_no_place(tars, web):
    there, here = source(tars), streamed(tars)
    remote = streamed(f"{web.url}/tars/part-{{00..07}}.tar")
    assert len(there) == len(here) == len(remote) == COUNT
    assert here.blocks == remote.blocks == (4,) * SHARDS
    assert here.identity == remote.identity != there.identity
    for index in range(COUNT):
        for one in (here, remote):
            ours, theirs = one[index], there[index]
            assert (ours.key, ours.label) == (theirs.key, theirs.label)
            assert np.array_equal(ours.image, theirs.image)
    for outside in (-1, COUNT):
        with pytest.raises(IndexError):
            here[outside]


def test_samples_are_counted_once_and_not_at_all_where_it_is_stated(tars, web, cache):
    url = f"{web.url}/tars/part-{{00..07}}.tar"
    streamed(url)
    assert len(copies(cache)) == SHARDS
    for copy in copies(cache):
        copy.unlink()
    assert streamed(url).blocks == (4,) * SHARDS
    assert len(copies(cache)) == 1  # the first, which says whether there are labels
    for place in (*copies(cache), *(cache / "counts").iterdir()):
        place.unlink()
    (tars / "sizes.json").write_text(json.dumps({f"part-{n:02d}.tar": 4 for n in range(SHARDS)}))
    assert streamed(url).blocks == (4,) * SHARDS
    assert len(copies(cache)) == 1
    assert not list((cache / "counts").iterdir())


def test_counts_of_img2dataset_are_read_and_wrong_ones_name_the_shard(tars):
    for number in range(SHARDS):
        told = {"count": 9, "successes": 4 if number != 5 else 3, "status": "ok"}
        (tars / f"part-{number:02d}_stats.json").write_text(json.dumps(told))
    found = streamed(tars)
    assert found.blocks == (4, 4, 4, 4, 4, 3, 4, 4)
    assert found[0].key == "part-00.tar/000"
    with pytest.raises(DataError, match=r"part-05\.tar holds 4 samples, and 3 are stated"):
        found[20]
    (tars / "sizes.json").write_text(json.dumps({"part-00.tar": 4}))
    with pytest.raises(DataError, match=r"sizes\.json states nothing of part-01\.tar"):
        streamed(tars)
    (tars / "sizes.json").write_text(json.dumps({f"part-{n:02d}.tar": "four" for n in range(SHARDS)}))
    with pytest.raises(DataError, match=r"states 'four' samples of part-00\.tar"):
        streamed(tars)


def test_the_number_of_classes_is_stated_where_there_are_labels_and_nowhere_else(tars, tmp_path):
    with pytest.raises(ConfigError, match=r"holds labels, and of a stream.* set the source's 'classes'"):
        source(tars, stream=True)
    bare = tar(tmp_path / "bare.tar", {"a.png": encoded(pixels(1))})
    assert source(bare, stream=True).classes is None
    with pytest.raises(ConfigError, match=r"holds no labels.* leave out the source's 'classes'"):
        streamed(bare)


def test_an_answer_that_breaks_off_is_asked_for_again_and_a_damaged_shard_is_named(tars, web):
    (tars / "sizes.json").write_text(json.dumps({f"part-{n:02d}.tar": 4 for n in range(SHARDS)}))
    url = f"{web.url}/tars/part-{{00..07}}.tar"
    found = streamed(url)
    web.spoil(Fault("cut", times=2, path="part-03"), Fault(503, path="part-03"))
    assert np.array_equal(found[12].image, pixels(12))
    assert web.count("part-03") >= 3
    web.spoil(Fault(503, times=-1, path="part-04"))
    with pytest.raises(DataError, match=r"part-04\.tar: the server answered 503 \(tried 8 times\)"):
        found[16]
    web.spoil()
    assert np.array_equal(found[16].image, pixels(16))
    whole = (tars / "part-06.tar").read_bytes()
    (tars / "part-06.tar").write_bytes(whole[:700])
    with pytest.raises(DataError, match=r"part-06\.tar.*(cut off|replaced|bytes)"):
        found[24]
    (tars / "part-07.tar").unlink()
    with pytest.raises(DataError, match=r"part-07\.tar does not exist"):
        found[28]


def test_a_local_shard_that_was_replaced_or_cut_off_is_named(tars):
    found = streamed(tars)
    whole = (tars / "part-02.tar").read_bytes()
    (tars / "part-02.tar").write_bytes(whole + b"\0" * 512)
    os.utime(tars / "part-02.tar", (1, 1))
    fresh = streamed(tars)
    (tars / "part-02.tar").write_bytes(whole[:700])
    with pytest.raises(DataError, match=r"part-02\.tar was replaced while the run reads it"):
        fresh._load(2)
    assert len(found) == COUNT
    with pytest.raises(DataError, match=r"part-02\.tar is (no tar file, )?damaged or cut off"):
        streamed(tars)


def test_a_run_that_is_killed_resumes_to_the_bit_with_an_empty_cache(tars, web, tmp_path):
    command = [sys.executable, str(Path(streamed_runs.__file__)), str(tmp_path)]
    done = subprocess.run(
        [*command, f"{web.url}/tars/part-{{00..07}}.tar"],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(Path(streamed_runs.__file__).parent), *sys.path]),
        },
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [0, -9, 0], done.stderr
    assert tensor_files(tmp_path / "killed") == tensor_files(tmp_path / "whole")
    assert lines(tmp_path / "killed") == lines(tmp_path / "whole")
    assert lines(tmp_path / "whole")[-1]["step"] == streamed_runs.STEPS


@pytest.mark.parametrize("world", [1, 2, 4])
def test_every_epoch_reads_each_sample_once_over_all_processes(tars, world):
    data = {"type": "images", "source": {"type": "tar", "url": str(tars), "stream": True, "classes": 3}}
    split = component("dataset", {**data, "validation": 0.125}).build().train
    assert len(split) == 28
    assert sum(split.blocks) == 28
    first, batch = 0, 4
    for _ in range(3):
        seen = []
        for step in range(first, first + 7):
            for rank in range(world):
                own = indices(0, step, batch, len(split), rank, world, blocks=split.blocks)
                read = split.batch(own, torch.Generator())
                seen += [row.numpy().tobytes() for row in read.clean]
        assert len(set(seen)) == len(seen) == 28
        first += 7


def test_a_batch_opens_the_shards_of_its_window_and_no_others(tmp_path, cache, web):
    image_tars(tmp_path / "many", count=80, parts=40)
    (tmp_path / "many" / "sizes.json").write_text(json.dumps({f"part-{n:02d}.tar": 2 for n in range(40)}))
    url = f"{web.url}/many/part-{{00..39}}.tar"
    data = component("dataset", {"type": "images", "size": 8, "source": streamed(url)}).build()
    data.train.batch(indices(0, 0, 8, len(data.train), blocks=data.train.blocks), torch.Generator())
    assert len(copies(cache)) <= 1 + 8


@pytest.mark.parametrize("blocks", [[100], [5] * 20, [1, 0, 50, 3, 46], [1000, 1]])
@pytest.mark.parametrize("share", [0.01, 0.05, 0.5, 0.9])
def test_what_is_held_out_is_the_share_from_few_shards(blocks, share):
    mask = held_out_in_shards(blocks, share)
    total = sum(blocks)
    assert int(mask.sum()) == min(max(round(share * total), 1), total - 1)
    used = [bool(part.any()) for part in mask.split(blocks)]
    held = sum(size for size, one in zip(blocks, used, strict=True) if one)
    assert held <= 2 * int(mask.sum()) + 2 * max(blocks)
    assert torch.equal(mask, held_out_in_shards(blocks, share))


class Lengths:
    """Encodes a caption as its length and first letter."""

    shape, length, width, identity = (1, 2), 1, 2, {"type": "lengths"}

    def __call__(self, captions):
        tokens = torch.tensor([[[float(len(one)), float(ord(one[0])) if one else 0.0]] for one in captions])
        return EncodedCaptions(tokens, torch.ones(len(captions), 1, dtype=torch.bool), 0)


def test_captions_that_are_encoded_with_each_batch_are_those_encoded_at_once(tmp_path):
    for part in range(2):
        members = {}
        for number in range(3):
            members[f"{number}.png"] = encoded(pixels(3 * part + number))
            members[f"{number}.txt"] = f"{'x' * number}\n{part} again {number}\n".encode()
        tar(tmp_path / f"{part}.tar", members)
    url = tmp_path / "{0..1}.tar"
    table, reader = (
        kind(source(url, stream=stream), Lengths())
        for kind, stream in ((CaptionTable, False), (CaptionReader, True))
    )
    places, draws = np.arange(6), torch.tensor([0.1, 0.9, 0.4, 0.6, 0.99, 0.0])
    for ours, theirs in zip(reader.read(places, draws), table.read(places, draws), strict=True):
        assert torch.equal(ours, theirs)
    assert reader.words(places, draws) == table.words(places, draws)
    with pytest.raises(DataError, match="no captions for its text encoder"):
        CaptionReader(source(image_tars(tmp_path / "bare"), stream=True, classes=3), Lengths())


def test_counting_many_shards_is_said(tmp_path, caplog):
    image_tars(tmp_path / "many", count=12, parts=12)
    with caplog.at_level(logging.WARNING):
        streamed(tmp_path / "many")
    (said,) = [one.getMessage() for one in caplog.records]
    assert "counting the samples of 12 shards" in said
    assert "sizes.json" in said
    assert Location(tmp_path / "many").parent == Location(tmp_path)
