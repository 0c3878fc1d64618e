"""Shards that are stored elsewhere: fetched once, kept within bounds, compared with the index."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from shard_makers import draws, make_shards
from thalweg.data.order import indices
from thalweg.data.shards import verify
from thalweg.data.shards.dataset import ShardsConfig
from thalweg.errors import ConfigError, DataError
from thalweg.storage import Location

URL = "memory://remote-shards/set"
GIB = 2**30


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    yield tmp_path / "thalweg"
    Location(URL).remove()


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were downloaded, in order."""
    names: list[str] = []
    copy_into = Location.copy_into

    def counted(self: Location, *arguments: object, **options: object) -> None:
        names.append(self.name)
        copy_into(self, *arguments, **options)

    monkeypatch.setattr(Location, "copy_into", counted)
    return names


def test_remote_shards_read_as_local_ones_do_and_are_fetched_once(
    tmp_path: Path, cache: Path, fetched: list[str]
) -> None:
    make_shards(URL, spread=1.0)
    make_shards(tmp_path / "here", spread=1.0)
    for _ in range(2):
        here, there = (ShardsConfig(url=url, validation=2).build() for url in (str(tmp_path / "here"), URL))
        for step in range(6):
            asked = indices(0, step, 4, len(there.train), blocks=there.train.blocks)
            there.train.upcoming(asked)
            assert torch.equal(
                there.train.batch(asked, draws()).clean, here.train.batch(asked, draws()).clean
            )
    assert sorted(fetched) == [f"shard-0000{number}.safetensors" for number in range(3)]
    assert there.train._store.checked == {0, 1, 2}


def test_the_cache_keeps_within_its_bounds(cache: Path, fetched: list[str], monkeypatch) -> None:
    from thalweg.data import opening

    # One shard open at a time, and room for two: what is open is never evicted.
    monkeypatch.setattr(opening, "_OPEN", 1)
    index = make_shards(URL, shape=(4, 16, 16), shard_samples=3)
    data = ShardsConfig(url=URL, validation=1, cache_gib=2.5 * index.shards[0].bytes / GIB).build()
    for index_ in range(11):
        data.train.batch([index_], draws())
    held = sum(path.stat().st_size for path in cache.iterdir())
    assert held <= 2.5 * index.shards[0].bytes
    assert len(fetched) == 4
    with pytest.raises(ConfigError, match="more than the cache"):
        ShardsConfig(url=URL, validation=1, cache_gib=1e-9).build().train.batch([0], draws())


def test_a_shard_replaced_in_the_middle_of_an_epoch_is_noticed() -> None:
    make_shards(URL)
    train = ShardsConfig(url=URL, validation=1).build().train
    first = len(train) - 1
    train.batch([first], draws())
    other = Location(URL) / "shard-00000.safetensors"
    other.write(bytes(len(other.read())))
    train.upcoming(range(len(train)))
    with pytest.raises(DataError, match=r"shard-00000\.safetensors"):
        train.batch(range(len(train)), draws())
    assert [one.file for one in verify(Location(URL)).damaged] == ["shard-00000.safetensors"]


def test_damage_in_the_cache_is_fixed(cache: Path, fetched: list[str]) -> None:
    make_shards(URL)
    asked = range(10)
    expected = ShardsConfig(url=URL, validation=2).build().train.batch(asked, draws()).clean
    for path in cache.iterdir():
        path.write_bytes(bytes(path.stat().st_size))
    again = ShardsConfig(url=URL, validation=2).build().train.batch(asked, draws()).clean
    assert torch.equal(again, expected)
    assert len(fetched) == 6
