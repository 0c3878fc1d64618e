"""Writing shards: whole or not at all, by several, resuming after a kill, and never over what is foreign."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from shard_makers import header, make_shards, samples
from thalweg.data.shards import ShardHeader, ShardWriter, TeacherHeader, TextHeader, read_index, verify
from thalweg.errors import ConfigError, DataError
from thalweg.storage import Location

TEXT = TextHeader(identity={"type": "bert"}, length=3, width=2, captions=2)


def writer(folder: Path, head: ShardHeader | None = None, shard_samples: int = 5) -> ShardWriter:
    return ShardWriter(Location(folder), head or header(), shard_samples=shard_samples)


def write(one: ShardWriter, number: int) -> None:
    held = one.samples(number)
    one.write_shard(number, samples(one.header, held.start, len(held)))


def test_several_writers_share_the_work_and_one_that_comes_later_finishes_it(tmp_path: Path) -> None:
    first, second = writer(tmp_path), writer(tmp_path)
    assert first.shards == 3
    assert [first.samples(number) for number in range(3)] == [range(5), range(5, 10), range(10, 12)]
    write(first, 2)
    write(second, 0)
    later = writer(tmp_path)
    assert later.written == [0, 2]
    with pytest.raises(DataError, match=r"1 of 3 shards .* shard-00001"):
        later.finish()
    assert not (tmp_path / "index.json").exists()
    write(later, 1)
    index = later.finish()
    assert index == read_index(Location(tmp_path)) == make_shards(tmp_path / "at once")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "index.json", *(f"shard-0000{number}.safetensors" for number in range(3)),
    ]  # fmt: skip
    again = writer(tmp_path)
    assert again.written == [0, 1, 2]
    assert again.finish() == index


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_bytes(b"{"), None])
def test_a_shard_counts_only_once_it_is_whole(tmp_path: Path, spoil) -> None:
    one = writer(tmp_path)
    write(one, 0)
    write(one, 1)
    if spoil is None:
        whole = (tmp_path / "shard-00001.safetensors").read_bytes()
        (tmp_path / "shard-00001.safetensors").write_bytes(whole[:-1])
    else:
        spoil(tmp_path / "shard-00001.json")
    assert writer(tmp_path).written == [0]


def test_a_shard_is_plain_safetensors(tmp_path: Path) -> None:
    head = header(
        flips=True, text=TEXT, teachers={"d": TeacherHeader(identity={"a": 1}, grid=(1, 1), width=3)}
    )
    one = writer(tmp_path, head)
    write(one, 1)
    stored = load_file(tmp_path / "shard-00001.safetensors")
    given = samples(head, 5, 5)
    assert stored.keys() == given.keys()
    assert all(torch.equal(stored[name], given[name]) for name in given)


def test_other_settings_are_refused_and_the_difference_named(tmp_path: Path) -> None:
    write(writer(tmp_path), 0)
    make_shards(tmp_path / "whole")
    for folder in (tmp_path, tmp_path / "whole"):
        for other, difference in (
            (
                header(autoencoder={"type": "sd-vae"}),
                "header.autoencoder.type is made up there and sd-vae here",
            ),
            (header(scale=0.5), "header.scale is 1.0 there and 0.5 here"),
            (header(text=TEXT), "header.text"),
        ):
            with pytest.raises(ConfigError, match=difference):
                writer(folder, other)
        with pytest.raises(ConfigError, match="shard_samples is 5 there and 6 here"):
            writer(folder, shard_samples=6)
    assert writer(tmp_path).written == [0]
    assert verify(Location(tmp_path / "whole")).damaged == ()


def test_what_is_foreign_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "shard-00000.safetensors").write_bytes(b"mine")
    with pytest.raises(DataError, match=r"holds shard-00000\.safetensors, of unknown origin"):
        writer(tmp_path)
    assert (tmp_path / "shard-00000.safetensors").read_bytes() == b"mine"
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "unfinished.json").write_text("{")
    with pytest.raises(DataError, match="unfinished"):
        writer(tmp_path / "b")


WRONG = {
    "no std": (lambda given: given.pop("std"), "was given"),
    "one too many": (lambda given: given.update(more=given["mean"]), "was given"),
    "other shape": (lambda given: given.update(mean=given["mean"][:, :3]), r"'mean'.*\(5, 3, 2, 6\)"),
    "other type": (lambda given: given.update(mean=given["mean"].half()), "'mean'.*float16"),
    "not finite": (lambda given: given["mean"].view(-1)[3].fill_(torch.nan), "'mean'.*not finite"),
    "negative std": (lambda given: given["std"].view(-1)[3].fill_(-1.0), "'std'.*negative"),
    "label too large": (lambda given: given["labels"][1].fill_(5), r"'labels'.* 5, outside 0\.\.4"),
    "label negative": (lambda given: given["labels"][1].fill_(-1), "'labels' .* from -1"),
    "too many captions": (lambda given: given["text.count"][1].fill_(3), r"'text.count'.* 3, outside 0\.\.2"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_what_is_no_sample_is_not_written(tmp_path: Path, fault: str) -> None:
    spoil, sentence = WRONG[fault]
    one = writer(tmp_path, header(text=TEXT))
    given = samples(one.header, 0, 5)
    spoil(given)
    with pytest.raises(DataError, match=sentence):
        one.write_shard(0, given)
    assert one.written == []


def test_text_is_not_whole_without_the_empty_caption(tmp_path: Path) -> None:
    one = writer(tmp_path, header(text=TEXT))
    for number in range(3):
        write(one, number)
    with pytest.raises(DataError, match="empty caption"):
        one.finish()
    with pytest.raises(DataError, match=r"'tokens' of empty\.safetensors"):
        one.write_empty(torch.zeros(3, 3).half(), torch.ones(3, dtype=torch.bool))
    one.write_empty(torch.zeros(3, 2).half(), torch.ones(3, dtype=torch.bool))
    assert one.finish().empty is not None


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "pictures"},
        {"dtype": "uint8"},
        {"kind": "pixels", "dtype": "float32"},
        {"shape": (4, 0, 6)},
        {"class_names": ("one",)},
        {"autoencoder": {}},
        {"scale": 0.0},
        {"teachers": {"dino_flipped": TeacherHeader(identity={"type": "d"}, grid=(1, 1), width=1)}},
    ],
)
def test_a_header_that_contradicts_itself_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"kind|dtype|shape|class_names|autoencoder|scale|teacher"):
        header(**fields)


def test_a_shard_is_some_tens_of_megabytes_by_default(tmp_path: Path) -> None:
    latents = header(count=10**6, shape=(4, 32, 32), classes=1000)
    assert latents.samples_per_shard() == 64 * 2**20 // (2 * 4 * 4 * 32 * 32 + 8)
    assert header(shape=(4, 4096, 4096)).samples_per_shard() == 1
    assert ShardWriter(Location(tmp_path), header()).shards == 1


def test_shards_go_into_any_storage() -> None:
    index = make_shards("memory://shards-elsewhere/set")
    there = Location("memory://shards-elsewhere/set")
    assert read_index(there) == index
    assert verify(there).damaged == ()
    assert there.children() == ["index.json", *(f"shard-0000{number}.safetensors" for number in range(3))]
    assert json.loads((there / "index.json").read())["format"] == "thalweg-shards"
    there.remove()
