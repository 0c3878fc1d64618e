"""Damaged, foreign and malicious shards: each is found, by the check and before anything is read of it."""

import hashlib
import json
import os
import pickle
import random
import struct
from pathlib import Path
from typing import Any

import pytest

from shard_makers import draws, header, make_shards
from thalweg.data.shards import INDEX, FileEntry, ShardIndex, TextHeader, read_index, verify
from thalweg.data.shards.dataset import ShardsConfig
from thalweg.errors import DataError
from thalweg.storage import Location

SHARD = "shard-00000.safetensors"


def load(folder: Path) -> None:
    """Read everything, as training would."""
    data = ShardsConfig(url=str(folder), validation=1).build()
    for split in (data.train, data.validation):
        split.batch(range(len(split)), draws())


def assert_found(folder: Path, name: str) -> None:
    report = verify(Location(folder))
    assert [one.file for one in report.damaged] == [name]
    assert name in report.damaged[0].reason
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        load(folder)


def test_a_whole_set_is_found_whole(tmp_path: Path) -> None:
    make_shards(tmp_path, text=TextHeader(identity={"type": "bert"}, length=3, width=2))
    told: list[tuple[int, int]] = []
    report = verify(Location(tmp_path), lambda done, all_: told.append((done, all_)))
    assert report.damaged == ()
    assert report.files == 5
    assert report.bytes == sum(path.stat().st_size for path in tmp_path.glob("*.safetensors"))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    load(tmp_path)


def test_every_truncation_is_found(tmp_path: Path) -> None:
    make_shards(tmp_path, shape=(4, 16, 16), count=12, shard_samples=12)
    for name in (SHARD, INDEX):
        whole = (tmp_path / name).read_bytes()
        lengths = [*range(0, len(whole), 4096), 1, 7, 8, 9, 100, len(whole) - 1]
        assert len(lengths) > 20 or name == INDEX
        for length in lengths:
            (tmp_path / name).write_bytes(whole[:length])
            assert_found(tmp_path, name)
        (tmp_path / name).write_bytes(whole + b"\0")
        assert_found(tmp_path, name)
        (tmp_path / name).write_bytes(whole)
    load(tmp_path)


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    make_shards(tmp_path, count=6, shard_samples=6)
    chance = random.Random(0)
    for name, flips in ((SHARD, 1000), (INDEX, 300)):
        whole = (tmp_path / name).read_bytes()
        for flip in range(flips):
            # Half of them near the beginning, where the header is, since most of a shard is numbers.
            place = chance.randrange(len(whole) if flip % 2 else min(300, len(whole)))
            spoiled = bytearray(whole)
            spoiled[place] ^= 1 << chance.randrange(8)
            (tmp_path / name).write_bytes(spoiled)
            assert [one.file for one in verify(Location(tmp_path)).damaged] == [name]
            if flip % 10 < 2:
                assert_found(tmp_path, name)
        (tmp_path / name).write_bytes(whole)
    load(tmp_path)


def test_each_damaged_file_is_named(tmp_path: Path) -> None:
    make_shards(tmp_path, text=TextHeader(identity={"type": "bert"}, length=3, width=2))
    for name in ("shard-00001.safetensors", "empty.safetensors"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    (tmp_path / "shard-00002.safetensors").unlink()
    damaged = verify(Location(tmp_path)).damaged
    assert [one.file for one in damaged] == [
        "shard-00001.safetensors", "shard-00002.safetensors", "empty.safetensors",
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"empty\.safetensors is damaged"):
        load(tmp_path)


def test_two_shards_that_changed_places_are_found(tmp_path: Path) -> None:
    make_shards(tmp_path, count=10)
    first, second = (tmp_path / f"shard-0000{number}.safetensors" for number in range(2))
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)
    assert len(verify(Location(tmp_path)).damaged) == 2


class Canary:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


def plant(folder: Path, content: bytes, head: Any = None) -> None:
    """A set whose only shard is this file, vouched for by an index that is in order."""
    folder.mkdir(exist_ok=True)
    (folder / SHARD).write_bytes(content)
    entry = FileEntry(6, len(content), hashlib.sha256(content).hexdigest())
    index = ShardIndex(head or header(count=6), 6, (entry,))
    (folder / INDEX).write_bytes(index.to_bytes())


def test_a_pickle_is_no_shard_and_never_runs(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        plant(tmp_path / "set", pickle.dumps(Canary(canary), protocol) + bytes(3000))
        assert_found(tmp_path / "set", SHARD)
    plant(tmp_path / "set", bytes(3000))
    (tmp_path / "set" / INDEX).write_bytes(pickle.dumps(Canary(canary)))
    assert_found(tmp_path / "set", INDEX)
    assert not canary.exists()
    pickle.loads(pickle.dumps(Canary(canary)))
    assert canary.exists()


def assembled(head: Any, data: int = 6 * (2 * 192 + 8), length: int | None = None) -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + bytes(data)


def described(**changes: Any) -> dict[str, Any]:
    """The header of a shard of six samples, with changes to ``mean``."""
    mean = {"dtype": "F32", "shape": [6, 4, 2, 6], "data_offsets": [0, 1152]} | changes
    return {
        "mean": mean,
        "std": {"dtype": "F32", "shape": [6, 4, 2, 6], "data_offsets": [1152, 2304]},
        "labels": {"dtype": "I64", "shape": [6], "data_offsets": [2304, 2352]},
    }


MALICIOUS = {
    "header of exabytes": (assembled(described(), length=2**63), "header would be 9223372036854775808"),
    "header of the largest size": (assembled(described(), length=2**64 - 1), "header would be"),
    "header beyond the file": (assembled(described(), length=100_000), "header would be 100000"),
    "header of megabytes": (assembled(b" " * (2**20 + 1)), "header would be 1048577"),
    "empty header": (assembled(b""), "header would be 0"),
    "no JSON": (assembled(b"{nothing}"), "no JSON"),
    "no text": (assembled(b"\xff\xfe{}"), "no JSON"),
    "deep JSON": (assembled(b"[" * 100_000), "no JSON"),
    "a list": (assembled([]), "no table"),
    "a key twice": (assembled(json.dumps(described()).encode()[:-1] + b', "mean": {}}'), "stands twice"),
    "another tensor": (assembled(described() | {"more": {}}), "it holds"),
    "metadata": (assembled(described() | {"__metadata__": {}}), "it holds"),
    "no labels": (assembled({k: v for k, v in described().items() if k != "labels"}), "it holds"),
    "a string": (assembled(described() | {"mean": "F32"}), "description"),
    "another type": (assembled(described(dtype="F64")), "F64"),
    "another shape": (assembled(described(shape=[6, 48])), "the index says F32"),
    "true for a size": (assembled(described(shape=[6, 4, 2, 6.5])), "the index says F32"),
    "offsets beyond the file": (assembled(described(data_offsets=[10**12, 10**12 + 1152])), "do not fill"),
    "offsets before the file": (assembled(described(data_offsets=[-1152, 0])), "offsets"),
    "offsets backwards": (assembled(described(data_offsets=[1152, 0])), "offsets"),
    "offsets of another length": (assembled(described(data_offsets=[0, 1148])), "offsets"),
    "offsets upon another": (assembled(described(data_offsets=[1152, 2304])), "do not fill"),
    "three offsets": (assembled(described(data_offsets=[0, 1, 1152])), "offsets are none"),
    "fractions": (assembled(described(data_offsets=[0.0, 1152.0])), "offsets are none"),
    "a gap at the end": (assembled(described(), data=2353), "do not fill"),
    "too little": (assembled(described(), data=2351), "do not fill"),
}


@pytest.mark.parametrize("kind", MALICIOUS)
def test_a_shard_is_not_believed_though_its_checksum_is_right(tmp_path: Path, kind: str) -> None:
    content, sentence = MALICIOUS[kind]
    plant(tmp_path, content)
    (damage,) = verify(Location(tmp_path)).damaged
    assert sentence in damage.reason
    assert_found(tmp_path, SHARD)


def test_what_the_malicious_ones_were_made_from_is_in_order(tmp_path: Path) -> None:
    plant(tmp_path, assembled(described()))
    load(tmp_path)


def test_labels_outside_the_classes_are_found(tmp_path: Path) -> None:
    content = bytearray(assembled(described()))
    content[-8:] = struct.pack("<q", 5)
    plant(tmp_path, bytes(content))
    (damage,) = verify(Location(tmp_path)).damaged
    assert r"'labels'" in damage.reason
    assert_found(tmp_path, SHARD)


def rewritten(folder: Path, change: Any) -> None:
    """The index with a change, and a checksum of its own that is right."""
    body = json.loads((folder / INDEX).read_bytes())
    del body["sha256"]
    change(body)
    shards = ",\n  ".join(json.dumps(one, sort_keys=True) for one in body.pop("shards"))

    def text(data: Any) -> bytes:
        head = json.dumps(data, indent=1, sort_keys=True).removesuffix("\n}")
        return f'{head},\n "shards": [\n  {shards}\n ]\n}}\n'.encode()

    digest = hashlib.sha256(text(body)).hexdigest()
    (folder / INDEX).write_bytes(text(body | {"sha256": digest}))


WRONG = {
    "foreign": (lambda body: body.update(format="webdataset"), "no index of shards"),
    "newer": (lambda body: body.update(version=3), "newer than 2; update Thalweg"),
    "older": (lambda body: body.update(version=1), "of a version before 2; encode the images anew"),
    "unknown key": (lambda body: body.update(more=1), "unknown key"),
    "no header": (lambda body: body.pop("header"), "header"),
    "a shard too few": (lambda body: body["shards"].pop(), "must hold 12 samples"),
    "a count that is none": (lambda body: body["shards"][0].update(count=4), "must hold 12 samples"),
    "a checksum that is none": (lambda body: body["shards"][0].update(sha256="../../secrets"), "sha256"),
    "no samples": (lambda body: (body["header"].update(count=0), body.update(shards=[])), "count"),
    "a text for a number": (lambda body: body["header"].update(count="12"), "count"),
    "not a number": (lambda body: body["header"].update(scale=float("nan")), "NaN is no number of JSON"),
    "more than can be": (lambda body: body["header"].update(count=10**15), "count"),
    "more than the shards hold": (
        lambda body: body["header"].update(shape=[4, 4096, 4096]),
        "bytes for each",
    ),
    "an empty caption without text": (lambda body: body.update(empty=body["shards"][0]), "empty"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_an_index_is_not_believed_though_its_checksum_is_right(tmp_path: Path, kind: str) -> None:
    change, sentence = WRONG[kind]
    make_shards(tmp_path)
    rewritten(tmp_path, lambda body: None)
    load(tmp_path)
    rewritten(tmp_path, change)
    with pytest.raises(DataError, match=sentence):
        read_index(Location(tmp_path))
    assert_found(tmp_path, INDEX)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"{}", b"[" * 100_000, b'{"a": ' + b"1" * 10_000 + b"}"]
)
def test_what_is_no_index_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / INDEX).write_bytes(content)
    assert_found(tmp_path, INDEX)


def test_an_oversize_index_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / INDEX).open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(DataError, match="larger than any index"):
        read_index(Location(tmp_path))


def test_an_index_that_promises_more_than_memory_reads_nothing(tmp_path: Path) -> None:
    # A sparse file: 2 x 1 TB of zeros that take no room on the disk and fit into no memory.
    shape, count = (4, 256, 256), 2**20
    head = header(shape=shape, count=count, classes=None)
    size = count * 4 * 256 * 256 * 4
    tensors = {
        name: {"dtype": "F32", "shape": [count, *shape], "data_offsets": [place * size, (place + 1) * size]}
        for place, name in enumerate(("mean", "std"))
    }
    start = assembled(tensors, data=0)
    with (tmp_path / SHARD).open("wb") as file:
        file.write(start)
        try:
            file.truncate(len(start) + 2 * size)
        except OSError as error:
            pytest.skip(f"no sparse files of this size here: {error}")
    from thalweg.data.shards.file import map_file

    entry = FileEntry(count, len(start) + 2 * size, "0" * 64)
    arrays = map_file(tmp_path / SHARD, SHARD, entry, head.shard(count), check=False)
    assert not arrays["std"][-1].any()
