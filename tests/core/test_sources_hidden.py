"""What systems and tools leave among images is no part of any source."""

import pytest

from image_makers import (
    captioned_folder,
    encoded,
    every_source,
    idx_folder,
    image_folder,
    image_tars,
    pixels,
    tar,
)
from thalweg.cli.main import main
from thalweg.data.sources import source_of
from thalweg.data.sources.names import hidden_in
from thalweg.storage import Location

HIDDEN = "hidden or of a system"
FOLDERS = (
    ".ipynb_checkpoints",
    ".thumbnails",
    ".git",
    ".Trash-1000",
    ".snapshot",
    ".AppleDouble",
    "@eaDir",
    "#recycle",
    "__MACOSX",
    "__pycache__",
    "lost+found",
    "$RECYCLE.BIN",
    "System Volume Information",
)
FILES = (".DS_Store", "Thumbs.db", "desktop.ini", "._000.png", ".hidden.png")
TWINS = (
    "._part-00.tar",
    "._000.txt",
    "._captions_x.json",
    "._train-images-idx3-ubyte",
    "._dataset.json",
)
LAYOUTS = {"images": image_folder, "tars": image_tars, "idx": idx_folder, "captioned": captioned_folder}


def litter(folder):
    """Everything that is no part of a data set, at the top and further down."""
    below = [folder, *(path for path in folder.iterdir() if path.is_dir())]
    for place in below:
        for name in FOLDERS:
            (place / name).mkdir()
            for file in ("0-checkpoint.png", "0-checkpoint.txt", "x.tar", "train-images-idx3-ubyte"):
                (place / name / file).write_bytes(encoded(pixels(1)))
        for name in FILES:
            (place / name).write_bytes(b"x")
    for name in (
        "._part-00.tar",
        "._000.txt",
        "._captions_x.json",
        "._train-images-idx3-ubyte",
        "._dataset.json",
    ):
        (folder / name).write_bytes(b"x")
    return len(below) * (len(FOLDERS) + len(FILES)) + 5


def told(source):
    records = [source[index] for index in range(len(source))]
    return (
        [(one.key, one.label, one.captions, one.image.tobytes()) for one in records],
        (source.classes, source.class_names, source.labels, source.captioned),
        source.identity,
    )


@pytest.mark.parametrize("name", LAYOUTS)
def test_no_source_sees_it_and_no_label_shifts(tmp_path, name):
    folder = LAYOUTS[name](tmp_path / name)
    before = told(source_of(str(folder)))
    count = litter(folder)
    after = source_of(str(folder))
    assert told(after) == before
    if name != "idx":  # which asks for its files by name
        assert after.skipped[HIDDEN] == count


def test_a_flat_folder_stays_one(tmp_path):
    for number in range(5):
        (tmp_path / f"{number}.png").write_bytes(encoded(pixels(number)))
    litter(tmp_path)
    found = source_of(str(tmp_path))
    assert (len(found), found.classes, found.labels) == (5, None, None)


@pytest.mark.parametrize("name", LAYOUTS)
def test_nor_does_a_remote_one(tmp_path, name):
    folder = LAYOUTS[name](tmp_path / name)
    before = told(source_of(str(folder)))
    count = litter(folder)
    root = Location("memory://hidden-of-a-test")
    try:
        for path in folder.rglob("*"):
            if path.is_file():
                (root / path.relative_to(folder).as_posix()).write(path.read_bytes())
        there = source_of(str(root))
        assert told(there) == before
        if name != "idx":
            assert there.skipped[HIDDEN] == count
    finally:
        root.remove()


def test_members_of_a_tar_are_read_by_their_whole_path(tmp_path):
    members = {
        "./__MACOSX/a/._0.png": b"x",
        "set/.ipynb_checkpoints/0.png": encoded(pixels(1)),
        "set/.ipynb_checkpoints/0.cls": b"9",
        "set/@eaDir/0.json": b"no json",
        "__MACOSX/dataset.json": b"no json",
        ".DS_Store": b"x",
    }
    good = {"set/0.png": encoded(pixels(0)), "set/0.cls": b"1"}
    before = told(source_of(str(tar(tmp_path / "good.tar", good))))
    found = source_of(str(tar(tmp_path / "x.tar", {**members, **good})))
    assert told(found) == before
    assert found.skipped == {HIDDEN: 4}


@pytest.mark.parametrize(
    "name", ["_background", "__other", "#5", "$", "@home", "recycle", "a.b", "lost", "~tilde"]
)
def test_classes_may_have_odd_names(tmp_path, name):
    image_folder(tmp_path, each=1)
    (tmp_path / "cat").rename(tmp_path / name)
    found = source_of(str(tmp_path))
    assert found.class_names == tuple(sorted((name, "dog", "newt")))


def test_names_are_checked_part_by_part():
    assert hidden_in("a/b.c/d.png") is None
    assert hidden_in("./a/d.png") is None
    assert hidden_in("a/.b/c/.d") == "a/.b"
    assert hidden_in("LOST+FOUND/x") == "LOST+FOUND"
    assert hidden_in("a/THUMBS.DB") == "a/THUMBS.DB"


def test_a_folder_above_the_data_may_be_hidden(tmp_path):
    image_folder(tmp_path / ".cache/@eaDir/images", each=1)
    assert source_of(str(tmp_path / ".cache/@eaDir/images")).classes == 3


def test_inspection_says_how_many_and_why(tmp_path, capsys):
    every_source(tmp_path)
    litter(tmp_path / "images")
    assert main(["data", "inspect", str(tmp_path / "images")]) == 0
    assert f"skipped      {HIDDEN} 77" in capsys.readouterr().out
