"""Folders whose sub-folders are classes."""

import numpy as np
import pytest

from image_makers import encoded, image_folder, pixels
from thalweg.config import component
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
    names = ["b/x.JPEG", "b/deep/er/y.webp", "b-2/z.jpg", "a/w.PNG"]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(pixels(0)))
    found = source(tmp_path)
    assert [found[i].key for i in range(4)] == ["a/w.PNG", "b/deep/er/y.webp", "b/x.JPEG", "b-2/z.jpg"]
    assert found.class_names == ("a", "b", "b-2")
    assert found.labels == [0, 1, 1, 2]


def test_a_flat_folder_bears_no_labels(tmp_path):
    for number in (2, 1):
        (tmp_path / f"{number}.png").write_bytes(encoded(pixels(number)))
    found = source(tmp_path)
    assert (found.classes, found.class_names, found.labels) == (None, (), None)
    assert [found[i].key for i in range(2)] == ["1.png", "2.png"]
    assert found[0].label is None


def test_other_files_are_passed_over_with_one_line(tmp_path, caplog):
    image_folder(tmp_path, each=1)
    assert source(tmp_path)
    assert caplog.records == []
    for name in ("README.txt", "beside.png", "cat/notes.md", "dog/._002.png"):
        (tmp_path / name).write_bytes(encoded(pixels(0)))
    assert len(source(tmp_path)) == 3
    (line,) = caplog.messages
    assert "ignored 4 files" in line
    assert "README.txt" in line


def test_nothing_to_read_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"no folder .*nowhere; set the source's url"):
        source(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no jpg, png or webp image"):
        source(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="holds no jpg, png or webp image"):
        source(tmp_path)
    with pytest.raises(DataError, match="no folder"):
        source(tmp_path / "notes.txt")


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
