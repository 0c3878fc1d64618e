"""The digits, splits in memory, and the way between images and values in [-1, 1]."""

import hashlib
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits

from thalweg.data.digits import Digits, DigitsConfig
from thalweg.data.pixels import from_images, to_images
from thalweg.data.split import TensorSplit
from thalweg.errors import ConfigError, DataError, ThalwegError
from thalweg.facts import Facts
from thalweg.protocols import Dataset
from thalweg.randomness import generator

DRAWS = generator(0, "test")


@pytest.fixture(scope="module")
def digits() -> Digits:
    return DigitsConfig().build()


def test_facts_are_known_before_and_after_reading(digits: Digits) -> None:
    assert isinstance(digits, Dataset)
    assert DigitsConfig().facts == digits.facts == Facts(shape=(1, 8, 8), classes=10)
    assert len(digits.train) + len(digits.validation) == 1797


def test_values_fill_the_range_and_images_round_trip(digits: Digits) -> None:
    x = digits.train.batch(range(len(digits.train)), DRAWS).clean
    assert x.dtype == torch.float32
    assert x.shape[1:] == (1, 8, 8)
    assert (x.min(), x.max()) == (-1, 1)
    levels = torch.round(digits.images(x).double() * 16 / 255)
    assert torch.equal(levels, (x.double() + 1) * 8)


def test_the_two_parts_share_no_sample_and_miss_none(digits: Digits) -> None:
    parts = (digits.train, digits.validation)
    pairs = [part.batch(range(len(part)), DRAWS) for part in parts]
    images = torch.cat([pair.clean for pair in pairs]).flatten(1)
    labels = torch.cat([pair.condition.labels for pair in pairs])[:, None]
    found = torch.cat([images, labels], 1)
    source = load_digits()
    expected = torch.cat([torch.tensor(source.data) / 8 - 1, torch.tensor(source.target)[:, None]], 1)
    assert sorted(found.tolist()) == sorted(expected.float().tolist())


def test_a_scikit_learn_that_is_missing_or_damaged_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DigitsConfig()
    for folder, error, reason in (
        (None, ConfigError, "pip install scikit-learn"),
        (tmp_path, DataError, "cannot be read"),
    ):
        monkeypatch.setattr("thalweg.data.digits.folder_of", lambda _, folder=folder: folder)
        with pytest.raises(error, match=reason):
            config.build()


@pytest.mark.parametrize("share", [1e-6, 0.1, 0.2, 0.5, 0.999])
def test_the_split_is_stratified(share: float) -> None:
    data = DigitsConfig(validation=share).build()
    counts = [torch.bincount(part.labels_N, minlength=10) for part in (data.train, data.validation)]
    expected = (share * sum(counts)).clamp_min(1)
    assert torch.all((counts[1] - expected).abs() <= 1)
    assert all(bool((count >= 1).all()) for count in counts)


def test_the_split_never_changes(digits: Digits) -> None:
    # Frozen, since scores are comparable only as long as the same digits are held out.
    held_out = (digits.validation.clean.double() * 8 + 8).to(torch.uint8)
    digest = hashlib.sha256(held_out.numpy().tobytes()).hexdigest()
    assert (len(held_out), digest[:16]) == (359, "4d576bae69e5ec2f")


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, 1.5, float("nan")])
def test_a_share_that_leaves_a_part_empty_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="'validation' must be"):
        DigitsConfig(validation=share)


def test_a_batch_comes_in_the_order_asked_for_and_is_a_copy() -> None:
    split = TensorSplit(torch.arange(5.0).view(5, 1, 1, 1), torch.arange(5) * 2)
    batch = split.batch([3, 0, 3], DRAWS)
    assert batch.clean.flatten().tolist() == [3, 0, 3]
    assert batch.condition.labels.tolist() == [6, 0, 6]
    batch.clean.zero_()
    assert split.batch([3], DRAWS).clean.item() == 3
    assert TensorSplit(torch.zeros(2, 1, 1, 1), None).batch([1], DRAWS).condition.labels is None
    with pytest.raises(IndexError):
        split.batch([5], DRAWS)


def test_splits_that_make_no_sense_are_refused() -> None:
    with pytest.raises(DataError, match="no samples"):
        TensorSplit(torch.zeros(0, 1, 2, 2), None)
    with pytest.raises(DataError, match="2 samples but 3 labels"):
        TensorSplit(torch.zeros(2, 1, 2, 2), torch.zeros(3, dtype=torch.int64))


def test_pixels_round_trip_and_clip() -> None:
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(to_images(from_images(every)), every)
    values = torch.tensor([-9.0, -1.0, 2 * 100.7 / 255 - 1, 0.0, 1.0, 9.0]).view(1, 1, 1, 6)
    assert to_images(values).flatten().tolist() == [0, 0, 101, 128, 255, 255]
    assert to_images(values, "down").flatten().tolist() == [0, 0, 100, 127, 255, 255]
    with pytest.raises(ThalwegError, match="not finite"):
        to_images(torch.full((1, 1, 1, 1), float("nan")))
