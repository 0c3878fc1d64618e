"""Stored posteriors: what is drawn from them, how little is read, and what every bad folder is told."""

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from thalweg.data.latents import LatentsConfig
from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.protocols import Dataset
from thalweg.randomness import generator

SHAPE = (2, 3, 4)


def posteriors(count: int, first: int = 0) -> dict[str, Tensor]:
    """Sample i has mean i everywhere and standard deviation 0, so that it is known by its value."""
    mean = torch.arange(first, first + count).float().view(-1, 1, 1, 1).expand(count, *SHAPE).clone()
    return {"mean": mean, "std": torch.zeros_like(mean), "labels": torch.arange(first, first + count) % 5}


def store(folder: Path, *parts: dict[str, Tensor]) -> LatentsConfig:
    for number, part in enumerate(parts):
        save_file(part, folder / f"part-{number}.safetensors")
    return LatentsConfig(path=str(folder), shape=SHAPE, classes=5, scale=1.0, validation=3)


def values(x: Tensor) -> list[float]:
    assert torch.equal(x, x[:, :1, :1, :1].expand_as(x))
    return x[:, 0, 0, 0].tolist()


def test_samples_come_back_across_files_in_the_order_asked_for(tmp_path: Path) -> None:
    config = store(tmp_path, posteriors(4), posteriors(1, 4), posteriors(6, 5))
    data = config.build()
    assert isinstance(data, Dataset)
    assert config.facts == data.facts == Facts(shape=SHAPE, classes=5)
    assert (len(data.train), len(data.validation)) == (8, 3)
    batch = data.train.batch([7, 0, 3, 4, 5, 0], generator(0, "test"))
    assert values(batch.clean) == [7, 0, 3, 4, 5, 0]
    assert batch.condition.labels.tolist() == [2, 0, 3, 4, 0, 0]
    assert values(data.validation.batch(range(3), generator(0, "test")).clean) == [8, 9, 10]
    assert data.images(batch.clean) is None
    for split, index in ((data.train, 8), (data.validation, 3)):
        with pytest.raises(IndexError):
            split.batch([index], generator(0, "test"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_draws_follow_the_posterior(tmp_path: Path, dtype: torch.dtype) -> None:
    part = {"mean": torch.full((9, *SHAPE), 3.0), "std": torch.full((9, *SHAPE), 0.5)}
    config = store(tmp_path, {name: tensor.to(dtype) for name, tensor in part.items()})
    data = LatentsConfig(config.path, SHAPE, None, scale=2.0, validation=1).build()
    batch = data.train.batch([0] * 2000, generator(0, "test"))
    assert batch.condition.labels is None
    assert batch.clean.dtype == torch.float32
    # 48,000 draws: five standard errors of the mean and of the standard deviation.
    assert abs(batch.clean.mean() - 6) < 5 * 1.0 / 48000**0.5
    assert abs(batch.clean.std() - 1) < 5 * 1.0 / (2 * 48000) ** 0.5


def test_draws_are_new_at_each_read_and_the_generator_s_own(tmp_path: Path) -> None:
    part = posteriors(6) | {"std": torch.ones(6, *SHAPE)}
    train = store(tmp_path, part).build().train
    draws = generator(0, "test")
    before = torch.random.get_rng_state()
    first, second = (train.batch([1], draws).clean for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not torch.equal(first, second)
    assert torch.equal(train.batch([1], generator(0, "test")).clean, first)


def test_a_file_larger_than_memory_is_mapped_not_read(tmp_path: Path) -> None:
    # A sparse file: 2 x 1 TB of zeros that take no room on the disk and fit into no memory.
    count, shape = 1 << 20, (4, 256, 256)
    tensor, labels = count * 4 * 256 * 256 * 4, count
    header = {
        "mean": {"dtype": "F32", "shape": [count, *shape], "data_offsets": [0, tensor]},
        "std": {"dtype": "F32", "shape": [count, *shape], "data_offsets": [tensor, 2 * tensor]},
        "labels": {"dtype": "U8", "shape": [count], "data_offsets": [2 * tensor, 2 * tensor + labels]},
    }
    encoded = json.dumps(header).encode()
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        try:
            file.truncate(8 + len(encoded) + 2 * tensor + labels)
        except OSError as error:
            pytest.skip(f"no sparse files of this size here: {error}")
    data = LatentsConfig(str(tmp_path), shape=shape).build()
    batch = data.train.batch([0, len(data.train) - 1], generator(0, "test"))
    assert batch.clean.shape == (2, *shape)
    assert not batch.clean.any()


def without(name: str) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in posteriors(9).items() if key != name}


BROKEN = {
    "no mean": (without("mean"), "no tensor 'mean'"),
    "no std": (without("std"), "no tensor 'std'"),
    "no labels": (without("labels"), "no tensor 'labels'"),
    "other shape": (
        posteriors(9) | {"mean": torch.zeros(9, 2, 3, 5)},
        r"\(9, 2, 3, 5\) where \(N, 2, 3, 4\)",
    ),
    "flat std": (posteriors(9) | {"std": torch.zeros(9, 24)}, "'std'.*shape"),
    "fewer std": (posteriors(9) | {"std": torch.zeros(8, *SHAPE)}, "9 means but 8"),
    "integer mean": (posteriors(9) | {"mean": torch.zeros(9, *SHAPE, dtype=torch.int32)}, "'mean'.*I32"),
    "bfloat16 std": (posteriors(9) | {"std": torch.zeros(9, *SHAPE, dtype=torch.bfloat16)}, "'std'.*BF16"),
    "float labels": (posteriors(9) | {"labels": torch.zeros(9)}, "'labels'.*F32"),
    "fewer labels": (posteriors(9) | {"labels": torch.arange(5)}, r"'labels'.*\(5,\)"),
    "label too large": (posteriors(9) | {"labels": torch.arange(9)}, r"label 5 of sample 5 .* 0\.\.4"),
    "label negative": (posteriors(9) | {"labels": -torch.arange(9)}, "label -1 of sample 1"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_is_named_with_its_fault(tmp_path: Path, fault: str) -> None:
    part, sentence = BROKEN[fault]
    config = store(tmp_path, posteriors(9), part)
    with pytest.raises(DataError, match=sentence) as caught:
        config.build()
    assert "part-1.safetensors" in str(caught.value)


@pytest.mark.parametrize(
    "spoil", [lambda whole: whole[:-1], lambda whole: whole[:20], lambda _: b"", lambda _: b"<html>" * 9]
)
def test_a_damaged_file_is_named(tmp_path: Path, spoil) -> None:
    config = store(tmp_path, posteriors(9))
    path = tmp_path / "part-0.safetensors"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(DataError, match=r"part-0\.safetensors is not a whole safetensors file"):
        config.build()


@pytest.mark.parametrize(("name", "value"), [("mean", "nan"), ("std", "inf"), ("std", "-1")])
def test_a_posterior_that_is_none_is_told_when_it_is_read(tmp_path: Path, name: str, value: str) -> None:
    part = posteriors(9)
    part[name][4, 0, 0, 0] = float(value)
    train = store(tmp_path, part).build().train
    train.batch([3], generator(0, "test"))
    with pytest.raises(DataError, match=r"sample 4 of .*part-0\.safetensors"):
        train.batch([3, 4], generator(0, "test"))


def test_folders_that_hold_too_little(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no folder .*nowhere"):
        LatentsConfig(str(tmp_path / "nowhere")).build()
    with pytest.raises(DataError, match=r"no \*.safetensors"):
        LatentsConfig(str(tmp_path)).build()
    with pytest.raises(DataError, match="holds 3 samples, of which 3 for validation"):
        store(tmp_path, posteriors(3)).build()


@pytest.mark.parametrize(
    "fields",
    [
        {"path": ""},
        {"shape": (4, 32)},
        {"shape": (4, 0, 32)},
        {"classes": 0},
        {"scale": 0.0},
        {"validation": 0},
    ],
)
def test_values_out_of_range_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"'{next(iter(fields))}'|shape"):
        LatentsConfig(**{"path": "latents"} | fields)
