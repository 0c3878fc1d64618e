"""Images and what is said of them."""

import json

import numpy as np
import pytest

from image_makers import captioned_folder, encoded, pixels
from thalweg.config import component
from thalweg.data.sources import source_of
from thalweg.errors import ConfigError, DataError

LAYOUTS = pytest.mark.parametrize("layout", ["txt", "coco"])


def source(folder, **options):
    return component("source", {"type": "captioned", "url": str(folder), **options}).build()


def coco(folder, change):
    """The folder's captions file, changed."""
    path = folder / "captions_train.json"
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))


@LAYOUTS
def test_every_caption_comes_with_its_image(tmp_path, layout, caplog):
    found = source(captioned_folder(tmp_path, layout=layout))
    assert (len(found), found.captioned, found.classes, found.class_names) == (3, True, None, ())
    for number in range(3):
        record = found[number]
        assert (record.key, record.label) == (f"{number:03d}.png", None)
        assert record.captions == (f"picture {number}", f"number {number} again")
        assert np.array_equal(record.image, pixels(number))
    assert caplog.messages == []


def test_images_and_captions_file_may_lie_apart_as_in_coco(tmp_path):
    captioned_folder(tmp_path / "train2017", layout="coco")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "train2017/captions_train.json").rename(tmp_path / "annotations/captions_train2017.json")
    options = {"images": "train2017", "captions": "annotations/captions_train2017.json"}
    assert source(tmp_path, **options)[1].captions == ("picture 1", "number 1 again")


@LAYOUTS
def test_an_image_without_a_caption_is_an_error(tmp_path, layout):
    captioned_folder(tmp_path, layout=layout)
    for name in ("100.png", "101.png"):
        (tmp_path / name).write_bytes(encoded(pixels(0)))
    with pytest.raises(DataError, match=r"2 images have no caption, the first is 100\.png"):
        source(tmp_path)


@LAYOUTS
def test_a_caption_without_an_image_is_an_error(tmp_path, layout):
    captioned_folder(tmp_path, layout=layout)
    (tmp_path / "001.png").unlink()
    with pytest.raises(DataError, match=r"1 captions have no image, the first is 001"):
        source(tmp_path)


def test_an_empty_caption_is_none(tmp_path):
    captioned_folder(tmp_path / "txt")
    for content in (b"", b"\n \n", b"\xef\xbb\xbf\r\n"):
        (tmp_path / "txt/001.txt").write_bytes(content)
        assert source(tmp_path / "txt")[1].captions == ()
    (tmp_path / "txt/001.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"001\.txt is no UTF-8 text"):
        source(tmp_path / "txt")[1]
    captioned_folder(tmp_path / "coco", layout="coco")
    for text in (" ", "", None):
        coco(
            tmp_path / "coco",
            lambda told, text=text: [one.update(caption=text) for one in told["annotations"][:2]],
        )
        found = source(tmp_path / "coco")
        assert [len(found[number].captions) for number in range(3)] == [0, 2, 2]


IDS = [
    (str, str),
    (str, int),
    (int, str),
    (float, int),
    ("{:012d}".format, float),
    ("x{}".format, "x{}".format),
]


@pytest.mark.parametrize(("image", "annotation"), IDS)
def test_ids_may_be_texts_and_numbers(tmp_path, image, annotation):
    captioned_folder(tmp_path, layout="coco")
    before = [source(tmp_path).captions(number) for number in range(3)]

    def change(told):
        for one in told["images"]:
            one["id"] = image(one["id"])
        for one in told["annotations"]:
            one["image_id"] = annotation(one["image_id"])

    coco(tmp_path, change)
    assert [source(tmp_path).captions(number) for number in range(3)] == before


def test_the_files_of_img2dataset_are_captioned(tmp_path):
    captioned_folder(tmp_path / "00000")
    for number in range(3):
        for suffix in ("png", "txt"):
            path = tmp_path / f"00000/{number:03d}.{suffix}"
            path.rename(path.with_name(f"00000{number:04d}.{suffix}"))
    (tmp_path / "00000.parquet").touch()
    found = source_of(str(tmp_path))
    assert (found.captioned, found.classes, found[1].captions[0]) == (True, None, "picture 1")


def test_two_images_cannot_share_a_text(tmp_path):
    captioned_folder(tmp_path)
    (tmp_path / "001.jpg").write_bytes(encoded(pixels(0), "jpeg"))
    with pytest.raises(DataError, match=r"001\.jpg and 001\.png"):
        source(tmp_path)


def test_captions_files_of_another_layout_are_refused(tmp_path):
    changes = [
        lambda told: told.pop("images"),
        lambda told: told.update(annotations=5),
        lambda told: told["annotations"].append({"image_id": 999, "caption": "x"}),
        lambda told: told["annotations"][0].update(caption=7),
        lambda told: told["images"][0].update(file_name=None),
        lambda told: told["images"][0].update(id=[1]),
    ]
    for number, change in enumerate(changes):
        folder = captioned_folder(tmp_path / str(number), layout="coco")
        coco(folder, change)
        with pytest.raises(DataError, match=r"captions_train\.json is no captions file of MS-COCO's layout"):
            source(folder)
    for text in ("{", "[]", "[" * 100_000, "null"):
        (folder / "captions_train.json").write_text(text)
        with pytest.raises(DataError, match=r"captions_train\.json is no captions file"):
            source(folder)


@pytest.mark.parametrize(
    "name", ["../secret.png", "/etc/x.png", "a/../../x.png", "..\\x.png", "C:/x.png", ""]
)
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path, name):
    captioned_folder(tmp_path, layout="coco")
    coco(tmp_path, lambda told: told["images"][0].update(file_name=name))
    with pytest.raises(DataError, match="leads out of the folder"):
        source(tmp_path)
    with pytest.raises(ConfigError, match="a path below url"):
        component("source", {"type": "captioned", "url": "x", "captions": name or "../y"})


def test_an_image_listed_twice_is_refused(tmp_path):
    for number, field in enumerate(("id", "file_name")):
        folder = captioned_folder(tmp_path / str(number), layout="coco")
        coco(folder, lambda told, field=field: told["images"][0].update({field: told["images"][1][field]}))
        with pytest.raises(DataError, match="lists an image twice"):
            source(folder)


def test_of_several_captions_files_one_must_be_named(tmp_path):
    captioned_folder(tmp_path, layout="coco")
    (tmp_path / "captions_val.json").write_bytes((tmp_path / "captions_train.json").read_bytes())
    with pytest.raises(DataError, match="2 captions files"):
        source(tmp_path)
    assert len(source(tmp_path, captions="captions_val.json")) == 3


def test_zero_images_are_an_error(tmp_path):
    (tmp_path / "captions_x.json").write_text('{"images": [], "annotations": []}')
    with pytest.raises(DataError, match="holds no jpg, png or webp image"):
        source(tmp_path)


@LAYOUTS
def test_the_identity_follows_captions_too(tmp_path, layout):
    captioned_folder(tmp_path, layout=layout)
    before = source(tmp_path).identity
    path = tmp_path / ("001.txt" if layout == "txt" else "captions_train.json")
    path.write_text(path.read_text().replace("picture 1", "another picture"))
    assert source(tmp_path).identity != before
