"""MNIST's family of files, and files that pretend to be."""

import gzip
import tracemalloc

import numpy as np
import pytest

from image_makers import idx, idx_folder, pixels
from thalweg.config import component
from thalweg.data.sources import source_of
from thalweg.data.sources.idx import parse
from thalweg.errors import ConfigError, DataError

ZIPPED = pytest.mark.parametrize("zipped", [True, False])


def source(folder, **options):
    return component("source", {"type": "idx", "url": str(folder), **options}).build()


def write(path, content):
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@ZIPPED
def test_images_and_labels_come_as_they_were_stored(tmp_path, zipped):
    idx_folder(tmp_path, zipped=zipped)
    for part, offset in (("train", 0), ("test", 100)):
        found = source(tmp_path, part=part)
        assert (len(found), found.classes, found.captioned) == (12, 3, False)
        record = found[4]
        assert (record.key, record.label) == (f"{part}/00004", 1)
        assert np.array_equal(record.image, pixels(offset + 4, 6, 6, 1))
    assert source(tmp_path, part="train").identity != source(tmp_path, part="test").identity


@ZIPPED
def test_names_may_have_a_dot(tmp_path, zipped):
    idx_folder(tmp_path, zipped=zipped)
    before = source(tmp_path)[4].image
    for path in list(tmp_path.iterdir()):
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    found = source_of(str(tmp_path))
    assert (len(found), found.classes) == (12, 3)
    assert np.array_equal(found[4].image, before)


def test_files_that_are_not_there_are_named(tmp_path):
    idx_folder(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    assert source(tmp_path)
    with pytest.raises(
        DataError, match=r"there is no t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte\.gz in"
    ):
        source(tmp_path, part="test")
    with pytest.raises(ConfigError, match="part"):
        source(tmp_path, part="validation")


def test_images_and_labels_must_be_as_many(tmp_path):
    idx_folder(tmp_path)
    write(tmp_path / "train-labels-idx1-ubyte.gz", idx(np.zeros(11, np.uint8)))
    with pytest.raises(DataError, match=r"holds 12 images and .* 11 labels"):
        source(tmp_path)[0]


GOOD = idx(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))


@ZIPPED
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no idx file"),
        (b"hello, this is a text", "no idx file"),
        (idx(np.zeros(3, np.uint8)), "no idx file"),
        (b"\0\0\x09\x03" + GOOD[4:], "no idx file"),
        (GOOD[:10], "no idx file"),
        (GOOD[:-1], "holds less than its header says, 24 bytes"),
        (GOOD + b"x", "holds more than its header says, 24 bytes"),
        (idx(np.zeros((0, 3, 4), np.uint8)), "holds no samples"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "claims to hold"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(content, reason, zipped):
    name = "a-name.gz" if zipped else "a-name"
    with pytest.raises(DataError, match=f"a-name.* {reason}"):
        parse(gzip.compress(content) if zipped else content, name, 3)


def test_a_zipped_file_cut_off_anywhere_is_refused():
    data = gzip.compress(GOOD)
    for stop in range(len(data)):
        with pytest.raises(DataError, match="a-name"):
            parse(data[:stop], "a-name.gz", 3)
    with pytest.raises(DataError, match="continues where it should end"):
        parse(data + b"x", "a-name.gz", 3)
    damaged = bytearray(data)
    damaged[-6] ^= 1  # within the checksum
    with pytest.raises(DataError, match="damaged"):
        parse(bytes(damaged), "a-name.gz", 3)


def test_a_bomb_is_not_unpacked():
    bomb = gzip.compress(GOOD + bytes(200_000_000), 1)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="holds more than its header says"):
            parse(bomb, "a-name.gz", 3)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000
