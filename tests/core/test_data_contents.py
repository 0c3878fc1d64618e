"""What a source says of its contents: what counts, and how a difference is named."""

import json
import shutil

import pytest

from image_makers import captioned_folder, encoded, idx_folder, image_folder, image_tars, pixels, tar
from thalweg.config import dump, structure
from thalweg.data.contents import EACH, SAMPLED, Contents, contents_of, fingerprints
from thalweg.data.sources import source_of
from thalweg.data.sources.captioned import CaptionedConfig
from thalweg.data.words import changes, differences
from thalweg.errors import DataError


def many(count, **other):
    """More images than are distinguished one by one."""
    keys = [f"{number:06d}" for number in range(count)]
    labels = [number % 10 for number in range(count)]
    return contents_of(keys, **{"labels": labels, "classes": 10, **other})


@pytest.fixture
def folder(tmp_path):
    """A folder, and what it held at first."""
    image_folder(tmp_path / "images")
    return tmp_path / "images", source_of(str(tmp_path / "images")).contents


def now(folder):
    return source_of(str(folder)).contents


def test_a_class_that_is_renamed_is_named_with_the_labels_that_it_changes(folder):
    place, before = folder
    (place / "cat").rename(place / "zebra")
    found = changes(before, now(place))
    assert found[0] == "the class 'cat' is now 'zebra'"
    assert "the labels of 8 images changed, the first dog/004.png" in found


def test_images_that_are_gone_new_or_others_are_counted_and_named(folder):
    place, before = folder
    (place / "dog" / "005.png").unlink()
    (place / "newt" / "a.png").write_bytes(encoded(pixels(99)))
    (place / "newt" / "b.png").write_bytes(encoded(pixels(98)))
    (place / "cat" / "001.png").write_bytes((place / "cat" / "002.png").read_bytes())
    assert changes(before, now(place)) == [
        "1 image is gone, dog/005.png",
        "2 images are new, the first newt/a.png",
        "the file of 1 image changed, cat/001.png",
    ]


def test_images_that_change_places_count_though_names_and_sizes_are_the_same(folder):
    place, before = folder
    one, other = place / "cat" / "001.png", place / "dog" / "004.png"
    assert one.stat().st_size == other.stat().st_size
    mine, theirs = one.read_bytes(), other.read_bytes()
    one.write_bytes(theirs)
    other.write_bytes(mine)
    assert changes(before, now(place)) == ["the files of 2 images changed, the first cat/001.png"]


def test_place_and_time_do_not_count(folder, tmp_path):
    place, before = folder
    shutil.copytree(place, tmp_path / "elsewhere" / "pictures")
    assert changes(before, now(tmp_path / "elsewhere" / "pictures")) == []
    assert now(tmp_path / "elsewhere" / "pictures") == before


def test_labels_and_captions_in_tars_count(tmp_path):
    def packed(label, caption):
        members = {}
        for number in range(3):
            members[f"{number}.png"] = encoded(pixels(number))
            members[f"{number}.cls"] = str(label if number == 1 else 0).encode()
            members[f"{number}.txt"] = (caption if number == 2 else "same").encode()
        source = source_of(str(tar(tmp_path / "some.tar", members)))
        assert source.contents is not None  # read now, before the next file takes its place
        return source

    first = packed(0, "dog")
    assert packed(0, "dog").identity == first.identity
    relabelled, described = packed(1, "dog"), packed(0, "cat")  # as many bytes in each
    assert len({first.identity, relabelled.identity, described.identity}) == 3
    assert "the label of 1 image changed, 1" in changes(first.contents, relabelled.contents)
    assert changes(first.contents, described.contents) == ["the caption of 1 image changed, 2"]


@pytest.mark.parametrize("layout", ["txt", "coco"])
def test_captions_of_equal_length_count(tmp_path, layout):
    captioned_folder(tmp_path, layout=layout)
    before = now(tmp_path)
    path = tmp_path / ("001.txt" if layout == "txt" else "captions_train.json")
    path.write_text(path.read_text().replace("picture 1", "picture 9"))
    assert changes(before, now(tmp_path)) == ["the caption of 1 image changed, 001.png"]


def test_idx_files_count_by_what_they_hold_zipped_or_not(tmp_path):
    zipped, plain = (now(idx_folder(tmp_path / str(one), zipped=one)) for one in (True, False))
    assert zipped == plain
    path = tmp_path / "False" / "train-images-idx3-ubyte"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    assert changes(plain, now(tmp_path / "False")) == ["the file of 1 image changed, train/00011"]


def test_the_order_counts():
    one, other = contents_of(["a", "b", "c"]), contents_of(["a", "c", "b"])
    assert one.identity("mine") != other.identity("mine")
    assert changes(one, other) == ["the images stand in another order"]


def test_of_very_many_images_the_block_is_named():
    before = many(2 * EACH)
    labels = [number % 10 for number in range(2 * EACH)]
    labels[100] = 7
    assert before.keys == ()
    assert len(json.dumps(dump(before))) < 100_000
    assert changes(before, many(2 * EACH, labels=labels)) == [
        "the labels of images changed, the first among images 96 to 103"
    ]
    fewer = many(2 * EACH - 1)
    assert changes(before, fewer) == [
        "it holds 8,191 images and held 8,192",
        "the class 1 has 819 of them and had 820",
    ]


def test_every_change_in_a_block_counts():
    before = many(2 * EACH)
    identities = {before.identity("mine")}
    for place in (0, 1, 4095, 2 * EACH - 1):
        keys = [f"{number:06d}" for number in range(2 * EACH)]
        keys[place] = "other"
        identities.add(contents_of(keys, labels=[0] * len(keys), classes=10).identity("mine"))
    assert len(identities) == 5


def test_joined_names_are_not_taken_for_others():
    rows = [["a", "bc"], ["ab", "c"], ["a", "b", "c"], ["a\nb", "c"], ["1:a", "b"]]
    assert len({contents_of(keys).digests["names"] for keys in rows}) == len(rows)
    captions = [[("a", "b"), ()], [("a",), ("b",)], [(), ("a", "b")], [("ab",), ()]]
    assert len({contents_of(["x", "y"], captions=one).digests["captions"] for one in captions}) == 4


def test_names_that_are_no_text_are_kept_in_words():
    found = contents_of(["caf\udce9", "\ud800"])
    assert found.keys == ("caf\\udce9", "\\ud800")
    json.dumps(dump(found)).encode()


def test_the_content_of_some_of_many_files_is_read_and_never_much_of_it():
    read = []

    def first(place, count):
        read.append((place, count))
        return b"x" * count

    rows = fingerprints([10] * 5000, first)
    assert len(read) == SAMPLED
    assert {count for _, count in read} == {10}
    assert sum(" " in row for row in rows) == SAMPLED
    read.clear()
    fingerprints([2**24] * 5000, first)
    assert sum(count for _, count in read) <= 64 * 2**20
    read.clear()
    fingerprints([], first)
    fingerprints([3], first)
    assert read == [(0, 3)]


def test_contents_survive_being_written(folder):
    before = folder[1]
    assert structure(Contents, json.loads(json.dumps(dump(before)))) == before


def test_sources_are_compared_by_name(folder):
    before = folder[1]
    assert differences({"source": before}, {"source": before}) == []
    assert differences({"source": before}, {"source": before, "validation_source": before}) == [
        "there is now a validation_source"
    ]


def test_held_out_captions_and_missing_labels_are_named():
    plain = contents_of(["a"])
    assert changes(plain, contents_of(["a"], held_out=["x"])) == ["what is held out is something else"]
    labelled = contents_of(["a"], labels=[0], classes=1)
    assert changes(plain, labelled) == ["it has 1 classes and had none", "there are now labels"]
    assert changes(labelled, plain)[-1] == "there are no labels"


def test_a_text_that_cannot_be_read_is_an_error_and_not_an_identity(tmp_path):
    captioned_folder(tmp_path)
    (tmp_path / "001.txt").write_bytes(b"\xff\xfe\x00")
    source = CaptionedConfig(url=str(tmp_path)).build()
    with pytest.raises(DataError, match=r"001\.txt is no UTF-8"):
        _ = source.identity


def test_tars_are_the_same_wherever_they_lie(tmp_path):
    first = source_of(str(image_tars(tmp_path / "one")))
    assert first.identity == source_of(str(image_tars(tmp_path / "two"))).identity
