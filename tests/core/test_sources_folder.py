"""Folders whose sub-folders are classes."""

import os

import numpy as np
import pytest

from image_makers import encoded, image_folder, pixels
from thalweg.config import component
from thalweg.data.sources import source_of, type_of
from thalweg.errors import DataError


def source(folder, **options):
    return component("source", {"type": "folder", "url": str(folder), **options}).build()


def test_sub_folders_are_classes_by_name(tmp_path):
    found = source(image_folder(tmp_path / "images", each=2))
    assert found.class_names == ("cat", "dog", "newt")
    assert (found.classes, found.captioned, len(found)) == (3, False, 6)
    assert found.labels == [0, 0, 1, 1, 2, 2]
    record = found[3]
    assert (record.key, record.label, record.captions) == ("dog/003.png", 1, ())
    assert np.array_equal(record.image, pixels(3))


def test_images_may_lie_deep_and_bear_any_suffix(tmp_path):
    names = ["b/x.JPEG", "b/deep/er/y.webp", "b-2/z.jfif", "a/w.PNG"]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(pixels(0)))
    found = source(tmp_path)
    assert [found[i].key for i in range(4)] == ["a/w.PNG", "b/deep/er/y.webp", "b/x.JPEG", "b-2/z.jfif"]
    assert found.class_names == ("a", "b", "b-2")
    assert found.labels == [0, 1, 1, 2]


def test_a_flat_folder_bears_no_labels(tmp_path):
    for number in (2, 1):
        (tmp_path / f"{number}.png").write_bytes(encoded(pixels(number)))
    found = source(tmp_path)
    assert (found.classes, found.class_names, found.labels) == (None, (), None)
    assert [found[i].key for i in range(2)] == ["1.png", "2.png"]
    assert found[0].label is None


def test_other_files_are_skipped_with_one_line(tmp_path, caplog):
    image_folder(tmp_path, each=1)
    assert source(tmp_path)
    assert caplog.records == []
    for name in ("README.txt", "beside.png", "cat/notes.md", "dog/._002.png"):
        (tmp_path / name).write_bytes(encoded(pixels(0)))
    assert len(source(tmp_path)) == 3
    found = source(tmp_path)
    assert found.skipped == {
        "hidden or of a system": 1,
        "that are no images": 2,
        "images outside of the folders": 1,
    }
    assert (
        "skipped 1 hidden or of a system (the first dog/._002.png), 2 that are no images (the first "
        "README.txt), 1 images outside of the folders (the first beside.png)"
    ) in caplog.messages[0]
    assert len(caplog.messages) == 2


def test_nothing_to_read_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"no folder .*nowhere; set the source's url"):
        source(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no jpg, png or webp image"):
        source(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="holds no jpg, png or webp image"):
        source(tmp_path)
    for name, hint in (
        ("x.parquet", "store each as a file of its own"),
        ("a.bmp", "convert images such as a"),
    ):
        (tmp_path / name).touch()
        with pytest.raises(DataError, match=hint):
            source(tmp_path)
    with pytest.raises(DataError, match="is a file, not a folder"):
        source(tmp_path / "notes.txt")


def test_a_sub_folder_without_images_is_no_class_and_is_said(tmp_path, caplog):
    image_folder(tmp_path, each=1)
    (tmp_path / "cow").mkdir()
    (tmp_path / "zebra").mkdir()
    (tmp_path / "zebra/list.csv").touch()
    found = source(tmp_path)
    assert found.class_names == ("cat", "dog", "newt")
    assert found.skipped == {"that are no images": 1, "folders without images": 2}
    assert "2 folders without images (the first cow)" in caplog.messages[0]


def test_a_folder_under_two_names_is_two_classes(tmp_path):
    image_folder(tmp_path / "there", each=2)
    (tmp_path / "linked").mkdir()
    for name in ("n01", "n02"):
        (tmp_path / "linked" / name).symlink_to(tmp_path / "there/cat")
    found = source(tmp_path / "linked")
    assert (found.class_names, found.labels) == (("n01", "n02"), [0, 0, 1, 1])


def test_links_that_lead_nowhere_or_round_are_refused_by_name(tmp_path):
    image_folder(tmp_path, each=1)
    (tmp_path / "eel").symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match="eel is a link that leads nowhere"):
        source(tmp_path)
    (tmp_path / "eel").unlink()
    (tmp_path / "cat/all").symlink_to(tmp_path)
    with pytest.raises(DataError, match="cat/all is a link to a folder that contains it"):
        source(tmp_path)
    (tmp_path / "cat/all").rename(tmp_path / "cat/.all")
    assert source(tmp_path).classes == 3


def test_names_need_not_be_utf_8(tmp_path):
    folder = image_folder(tmp_path / os.fsdecode(b"caf\xe9"), each=1)
    (folder / "cat/000.png").rename(folder / "cat" / os.fsdecode(b"\xe9.png"))
    found = source(folder)
    assert (found.class_names, found[0].image.shape) == (("cat", "dog", "newt"), (8, 8, 3))
    assert found.identity != source(image_folder(tmp_path / "other", each=1)).identity


@pytest.mark.parametrize("name", ["a b", "a#b", "a%20b", "a*b", "a[b]", "a?b", "a{b}", "a{1..2}", "~x", "ü"])
def test_any_name_is_a_folders(tmp_path, monkeypatch, name):
    image_folder(tmp_path / name, each=1)
    monkeypatch.chdir(tmp_path)
    for url in (name, str(tmp_path / name), (tmp_path / name).as_uri()):
        assert type_of(url) == "folder"
        assert source_of(url).class_names == ("cat", "dog", "newt")


def test_the_home_folder_has_a_short_name(tmp_path, monkeypatch):
    image_folder(tmp_path / "pets", each=1)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(source("~/pets")) == 3
    with pytest.raises(DataError, match="no folder ~nobody-of-this-name/pets"):
        source("~nobody-of-this-name/pets")


def test_a_damaged_image_is_named_and_spoils_no_other(tmp_path):
    image_folder(tmp_path, each=1)
    whole = (tmp_path / "dog/001.png").read_bytes()
    (tmp_path / "dog/001.png").write_bytes(whole[: len(whole) // 2])
    found = source(tmp_path)
    with pytest.raises(DataError, match=r"dog/001\.png is damaged or cut off"):
        found[1]
    assert found[0].label == 0
    (tmp_path / "dog/001.png").unlink()
    with pytest.raises(DataError, match=r"dog/001\.png"):
        found[1]


def test_the_limit_of_pixels_is_the_configs(tmp_path):
    image_folder(tmp_path, each=1)
    assert source(tmp_path, limit_pixels=64)[0].image.shape == (8, 8, 3)
    with pytest.raises(DataError, match="beyond the limit of 63"):
        source(tmp_path, limit_pixels=63)[0]


def test_the_identity_follows_names_and_sizes_not_the_place(tmp_path):
    first = source(image_folder(tmp_path / "one", each=1))
    second = source(image_folder(tmp_path / "two", each=1))
    assert first.identity == second.identity
    (tmp_path / "two/dog/001.png").rename(tmp_path / "two/dog/renamed.png")
    assert source(tmp_path / "two").identity != first.identity
    (tmp_path / "one/cat/000.png").write_bytes(encoded(pixels(0, 9, 9)))
    assert source(tmp_path / "one").identity != first.identity


def laid_out(folder, *names):
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(pixels(number)))
    return folder


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["train/cat/1.png", "train/dog/1.png", "val/cat/1.png"], "train and val"),
        (["Train/1.png", "test/1.png", "validation/1.png"], "Train, test and validation"),
        (["train/cat/1.png"], "train"),
    ],
)
def test_the_parts_of_a_data_set_are_no_classes(tmp_path, names, said):
    with pytest.raises(DataError, match=rf", {said}, so they are no classes; set .* to one of them, such as"):
        source(laid_out(tmp_path, *names))
    part = tmp_path / names[0].partition("/")[0]
    assert source(part).class_names in ((), ("cat",), ("cat", "dog"))


def test_among_others_a_class_may_be_called_train(tmp_path):
    assert source(laid_out(tmp_path, "bus/1.png", "train/1.png")).class_names == ("bus", "train")


def test_a_folder_around_the_classes_is_told_of(tmp_path, caplog):
    assert source(laid_out(tmp_path, "data/cat/1.png", "data/dog/1.png")).class_names == ("data",)
    assert f"set the source's url to {tmp_path}/data" in caplog.text


@pytest.mark.parametrize("names", [("Cat/1.png", "cat/2.png"), ("\u00e9/1.png", "e\u0301/2.png")])
def test_classes_that_look_the_same_are_told_of(tmp_path, caplog, names):
    assert source(laid_out(tmp_path, *names)).classes == 2
    assert "differ only in case or in how letters are encoded" in caplog.text


def test_data_are_the_same_however_a_system_encodes_accents(tmp_path):
    # Composed, the first stands after "f", decomposed before it.
    one = source(laid_out(tmp_path / "one", "\u00e9/1.png", "f/2.png"))
    other = source(laid_out(tmp_path / "other", "e\u0301/1.png", "f/2.png"))
    assert one.labels == other.labels
    assert one.contents.digests["names"] == other.contents.digests["names"]
    assert np.array_equal(one[0].image, other[0].image)
