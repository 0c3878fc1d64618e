"""Stored samples: what is drawn from them, how little is read, and what every bad set is told."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch

from shard_makers import draws, header, make_shards
from thalweg.data.order import indices
from thalweg.data.shards import TeacherHeader, TextHeader, read_index
from thalweg.data.shards.dataset import Expected, Shards, ShardsConfig, held_out
from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts, StoredFeatures
from thalweg.protocols import Dataset
from thalweg.storage import Location
from thalweg_backbones.autoencoder.identity import IdentityConfig

TEACHERS = {"dino": TeacherHeader(identity={"type": "dino"}, grid=(2, 3), width=4)}
TEXT = TextHeader(identity={"type": "bert"}, length=3, width=2, captions=2)


def built(folder: Path, validation: int = 3, **fields: object) -> Shards:
    return ShardsConfig(url=str(folder), validation=validation, **fields).build()


def numbers(data: Shards) -> list[int]:
    """The samples of the training part, as numbered in the whole set."""
    held = held_out(12, 5, len(data.validation)).tolist()
    return [number for number in range(12) if number not in held]


def values(x: torch.Tensor) -> list[float]:
    assert torch.equal(x, x[:, :1, :1, :1].expand_as(x))
    return x[:, 0, 0, 0].tolist()


def test_samples_come_back_across_shards_in_the_order_asked_for(tmp_path: Path) -> None:
    make_shards(tmp_path, scale=0.5)
    data = built(tmp_path)
    assert isinstance(data, Dataset)
    assert data.facts == ShardsConfig(url=str(tmp_path)).facts == Facts(shape=(4, 2, 6), classes=5)
    there = numbers(data)
    for asked in ([7, 0, 3, 8, 4, 0], list(range(9)), [2]):
        batch = data.train.batch(asked, draws())
        assert values(batch.clean) == [there[index] / 2 for index in asked]
        assert batch.condition.labels.tolist() == [there[index] % 5 for index in asked]
    held = values(data.validation.batch(range(3), draws()).clean)
    assert sorted(held + values(data.train.batch(range(9), draws()).clean)) == [n / 2 for n in range(12)]
    assert data.images(batch.clean) is None
    for split, index in ((data.train, 9), (data.validation, 3), (data.train, -1)):
        with pytest.raises(IndexError):
            split.batch([index], draws())


def test_blocks_are_what_each_shard_has_left(tmp_path: Path) -> None:
    make_shards(tmp_path)
    data = built(tmp_path)
    assert sum(data.train.blocks) == len(data.train) == 9
    assert [one + two for one, two in zip(data.train.blocks, data.validation.blocks, strict=True)] == [
        5,
        5,
        2,
    ]
    read = [n for step in range(3) for n in indices(0, step, 3, 9, blocks=data.train.blocks)]
    assert sorted(values(data.train.batch(read, draws()).clean)) == numbers(data)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_draws_follow_the_posterior(tmp_path: Path, dtype: str) -> None:
    make_shards(tmp_path, spread=0.5, dtype=dtype, scale=2.0, classes=None)
    data = built(tmp_path)
    number = numbers(data)[4]
    batch = data.train.batch([4] * 1000, draws())
    assert batch.condition.labels is None
    assert batch.clean.dtype == torch.float32
    # 48,000 draws: five standard errors of the mean and of the standard deviation.
    assert abs(batch.clean.mean() - 2 * number) < 5 * 1.0 / 48000**0.5
    assert abs(batch.clean.std() - 1) < 5 * 1.0 / (2 * 48000) ** 0.5


def test_draws_are_new_at_each_read_and_the_generator_s_own(tmp_path: Path) -> None:
    make_shards(tmp_path, spread=1.0)
    train, generator = built(tmp_path).train, draws()
    before = torch.random.get_rng_state()
    first, second = (train.batch([1, 8], generator).clean for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not torch.equal(first, second)
    assert torch.equal(train.batch([1, 8], draws()).clean, first)


def test_stored_flips_come_half_the_time_with_the_teacher_s_view_of_them(tmp_path: Path) -> None:
    make_shards(tmp_path, flips=True, teachers=TEACHERS)
    data = built(tmp_path)
    number = numbers(data)[8]
    batch = data.train.batch([8] * 400, draws())
    read = torch.tensor(values(batch.clean))
    assert set(read.tolist()) == {number, -number}
    assert abs(int((read < 0).sum()) - 200) < 50  # five standard deviations
    tokens = batch.features["dino"]
    assert (tokens.shape, tokens.dtype) == ((400, 6, 4), torch.float16)
    assert torch.equal(tokens[:, :, 0].float(), torch.sign(read)[:, None] * (number + torch.arange(6)))
    assert min(values(data.validation.batch([0, 1, 2] * 9, draws()).clean)) >= 0
    assert data.facts.features == {"dino": StoredFeatures((2, 3), 4, {"type": "dino"})}


def test_pixels_are_scaled_mirrored_when_read_and_shown(tmp_path: Path) -> None:
    make_shards(tmp_path, kind="pixels", dtype="uint8", shape=(1, 2, 6), flips=True)
    data = built(tmp_path)
    number = numbers(data)[2]
    images = data.images(data.train.batch([2] * 100, draws()).clean)
    upright = (number + torch.arange(6)).expand(1, 2, 6)
    turned = [bool((image == upright.flip(-1)).all()) for image in images]
    assert all(
        bool((image == upright).all()) != mirrored for image, mirrored in zip(images, turned, strict=True)
    )
    assert 25 < sum(turned) < 75


def test_one_caption_is_drawn_at_each_read_and_the_empty_one_where_there_is_none(tmp_path: Path) -> None:
    make_shards(tmp_path, text=TEXT)
    data = built(tmp_path)
    assert data.facts.text == (3, 2)
    for split in (data.train, data.validation):
        whole = split.batch(range(len(split)), draws())
        there = [round(value) for value in values(whole.clean)]
        seen: list[set[float]] = [set() for _ in there]
        for seed in range(20):
            text = split.batch(range(len(split)), draws(seed)).condition.text
            assert text.tokens.dtype == torch.float32
            assert text.mask.tolist() == [[True, False, False]] * len(there)
            for place, tokens in enumerate(text.tokens):
                assert bool((tokens == tokens[0, 0]).all())
                seen[place].add(float(tokens[0, 0]))
        # As many captions as the number modulo 3 says.
        assert seen == [[{-1.0}, {number}, {number, number + 0.125}][number % 3] for number in there]
    assert text.empty_tokens.tolist() == [[-1.0, -1.0]] * 3


def test_each_shard_is_compared_with_its_checksum_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thalweg.data.shards import file

    make_shards(tmp_path)
    hashed = []
    digest = file.hashlib.file_digest

    def counted(opened: Any, name: str) -> Any:
        hashed.append(Path(f"/proc/self/fd/{opened.fileno()}").readlink().name)
        return digest(opened, name)

    monkeypatch.setattr(file.hashlib, "file_digest", counted)
    train = built(tmp_path).train
    assert hashed == []
    for _ in range(3):
        train.batch(range(9), draws())
    read = [f"shard-0000{n}.safetensors" for n, left in enumerate(train.blocks) if left]
    assert sorted(hashed) == read


def test_more_shards_than_are_kept_open_read_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from thalweg.data import opening

    make_shards(tmp_path, shard_samples=1)
    expected = values(built(tmp_path).train.batch(range(9), draws()).clean)
    monkeypatch.setattr(opening, "_OPEN", 2)
    train = built(tmp_path).train
    for _ in range(3):
        assert values(train.batch(range(9), draws()).clean) == expected
    # Replaced by another file, a shard that was closed is compared again.
    path = tmp_path / "shard-00000.safetensors"
    path.write_bytes(bytes(255 - byte for byte in path.read_bytes()))
    with pytest.raises(DataError, match="shard-00000"):
        train.batch(range(9), draws())


def test_shards_that_are_needed_soon_are_opened_early_and_their_faults_said_when_needed(
    tmp_path: Path,
) -> None:
    make_shards(tmp_path, shard_samples=4)
    (tmp_path / "shard-00001.safetensors").unlink()
    train = built(tmp_path, validation=1).train
    train.upcoming(range(len(train)))
    for thread in threading.enumerate():
        if thread.name == "thalweg-shards":
            thread.join(timeout=60)
    assert train._store.checked == {0, 2}
    assert len(train.batch([0, 10], draws()).clean) == 2
    with pytest.raises(DataError, match=r"shard-00001\.safetensors cannot be read"):
        train.batch(range(11), draws())


def test_an_autoencoder_shows_what_it_made_and_no_other(tmp_path: Path) -> None:
    autoencoder = {"type": "identity"}
    make_shards(tmp_path / "own", shape=(3, 2, 6), autoencoder=autoencoder | {"precision": "bf16-mixed"})
    data = built(tmp_path / "own", autoencoder=IdentityConfig())
    assert data.images(torch.zeros(1, 3, 2, 6)).unique().tolist() == [128]
    make_shards(tmp_path / "scaled", autoencoder=autoencoder, scale=0.5)
    make_shards(tmp_path / "other", autoencoder={"type": "sd-vae", "sha256": "ab"})
    for folder in ("scaled", "other"):
        with pytest.raises(ConfigError, match="made with the autoencoder"):
            built(tmp_path / folder, autoencoder=IdentityConfig())


def test_facts_that_are_expected_need_no_data_and_are_held_to(tmp_path: Path) -> None:
    expected = Expected(shape=(4, 2, 6), classes=5)
    config = ShardsConfig(url=str(tmp_path / "later"), validation=3, expected=expected)
    assert config.facts == Facts(shape=(4, 2, 6), classes=5)
    make_shards(tmp_path / "later")
    assert config.build().facts == config.facts
    for other in (Expected((4, 2, 5), 5), Expected((4, 2, 6), 6), Expected((4, 2, 6), 5, (3, 2))):
        with pytest.raises(DataError, match="are expected"):
            attrs.evolve(config, expected=other).build()


def test_sets_that_hold_too_little(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere holds no index\.json"):
        built(tmp_path / "nowhere")
    make_shards(tmp_path)
    with pytest.raises(DataError, match="holds 12 samples, of which 12 for validation leave none"):
        built(tmp_path, validation=12)
    with pytest.raises(ValueError, match="count"):
        header(count=0)


@pytest.mark.parametrize(("field", "value"), [("validation", 0), ("cache_gib", 0.0)])
def test_values_out_of_range_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        ShardsConfig(**{"url": "shards", field: value})


@pytest.mark.parametrize(
    ("count", "shard_samples"), [(12, 5), (1000, 10), (1000, 1000), (40_000, 1000), (9, 1)]
)
def test_what_is_held_out_is_spread_over_a_few_shards_whatever_their_order(
    count: int, shard_samples: int
) -> None:
    for validation in (1, count // 10 + 1, count - 1):
        held = held_out(count, shard_samples, validation)
        assert len(set(held.tolist())) == validation
        assert (held == np.sort(held)).all()
        assert held.min() >= 0
        assert held.max() < count
    shards = np.unique(held_out(40_000, 1000, 1024) // 1000)
    assert len(shards) == 8
    assert shards.max() - shards.min() > 30
    # No regular grid within a shard either: odd and even places, first and second half alike.
    places = held_out(40_000, 1000, 1024) % 1000
    for half in (places % 2, places // 500):
        assert abs(half.mean() - 0.5) < 5 * 0.5 / 1024**0.5


def test_the_index_states_what_is_stored(tmp_path: Path) -> None:
    made = make_shards(tmp_path, teachers=TEACHERS, text=TEXT, class_names=tuple("abcde"), attribution="us")
    index = read_index(Location(tmp_path))
    assert index == made
    assert [shard.count for shard in index.shards] == [5, 5, 2]
    assert index.total_bytes == sum(path.stat().st_size for path in tmp_path.glob("shard-*"))


LARGE = """
import time
from thalweg.data.shards.header import ShardHeader
from thalweg.data.shards.index import FileEntry, ShardIndex, parse

given = {"kind": "posterior", "dtype": "float32", "autoencoder": {"type": "x"}}
head = ShardHeader(count=100_000, shape=(4, 2, 6), **given)
size = sum(spec.bytes for spec in head.tensors().values())
entries = tuple(FileEntry(1, size + number, f"{number:064x}") for number in range(100_000))
index = ShardIndex(header=head, shard_samples=1, shards=entries)
content = index.to_bytes()
begun = time.process_time()
parse(content, "index.json")
print(time.process_time() - begun)
"""


def test_an_index_of_a_hundred_thousand_shards_is_read_within_two_seconds() -> None:
    # In a process of its own, whose every call is not checked for its types.
    run = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 2
