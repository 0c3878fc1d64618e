"""``dataset.json``: the layout of EDM, StyleGAN and REPA."""

import json

import numpy as np
import pytest

from image_makers import encoded, image_folder, pixels, tar
from thalweg.cli.main import main
from thalweg.data.sources import source_of, type_of
from thalweg.errors import DataError
from thalweg.storage import Location

NAMES = [f"{number // 4:05d}/img{number:08d}.png" for number in range(12)]
LABELS = [number % 3 for number in range(12)]
PAIRS = [list(pair) for pair in zip(NAMES, LABELS, strict=True)]


def files(said):
    """The files of a set, by their names."""
    images = {name: encoded(pixels(number)) for number, name in enumerate(NAMES)}
    return images | ({} if said is None else {"dataset.json": json.dumps(said).encode()})


def in_folder(place, content):
    for name, data in content.items():
        path = place / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return str(place / "set")


def in_tar(place, content):
    return str(tar(place / "set.tar", content))


def below_in_tar(place, content):
    return str(tar(place / "set.tar", {f"./imagenet/64/{name}": data for name, data in content.items()}))


LAYOUTS = pytest.mark.parametrize("make", [in_folder, in_tar, below_in_tar])


@LAYOUTS
def test_labels_are_those_of_the_list(tmp_path, make):
    for form in (
        PAIRS,
        dict(PAIRS),
        [[name.replace("/", "\\"), label] for name, label in PAIRS],
        PAIRS[::-1],
    ):
        found = source_of(make(tmp_path, files({"labels": form})))
        assert (found.labels, found.classes, found.class_names, len(found)) == (LABELS, 3, (), 12)
        assert (found[5].label, found.captioned) == (LABELS[5], False)
        assert np.array_equal(found[5].image, pixels(5))
        assert found.skipped == {}


@LAYOUTS
def test_without_labels_nothing_is_a_class(tmp_path, make):
    found = source_of(make(tmp_path, files({"labels": None})))
    assert (found.labels, found.classes, len(found), found[7].label) == (None, None, 12, None)


def test_it_is_read_from_remote_places_too(tmp_path):
    root = Location("memory://listed-of-a-test")
    try:
        for name, data in files({"labels": PAIRS}).items():
            (root / name).write(data)
        assert type_of(str(root)) == "folder"
        assert source_of(str(root)).labels == LABELS
    finally:
        root.remove()


@LAYOUTS
def test_numbers_stay_as_they_are_and_holes_are_told_of(tmp_path, make, caplog):
    found = source_of(make(tmp_path, files({"labels": [[name, 2 * label + 1] for name, label in PAIRS]})))
    assert (found.classes, sorted(set(found.labels))) == (6, [1, 3, 5])
    assert "there are 6 classes; of 3 there is no image, the first is 0" in caplog.text


def changed(**change):
    return [[name, change.get(f"_{number}", label)] for number, (name, label) in enumerate(PAIRS)]


REFUSED = {
    "missing": ([*PAIRS, ["00003/img00000012.png", 0]], r"1 images that it lists are not there .* 00003/img"),
    "unlisted": (PAIRS[1:], r"1 images are there and not listed, the first is 00000/img00000000\.png"),
    "empty": ([], "12 images are there and not listed"),
    "twice": ([*PAIRS, PAIRS[3]], r"lists 00000/img00000003\.png twice"),
    "vector": (
        changed(_2=[0.0, 1.0, 0.0]),
        r"label of 00000/img00000002\.png is a vector, \[0\.0, 1\.0, 0\.0\]",
    ),
    "fraction": (changed(_2=0.5), r"label of 00000/img00000002\.png is 0\.5; it must be a class"),
    "negative": (changed(_2=-1), "is -1; it must be a class"),
    "huge": (changed(_2=2**40), "must be a class, an integer from 0 up to 1048575"),
    "truth": (changed(_2=True), "is True; it must be a class"),
    "text": (changed(_2="1"), "is '1'; it must be a class"),
    "none of one": (changed(_2=None), "is None; it must be a class"),
    "no pairs": ([[NAMES[0]], *PAIRS[1:]], "has the entry"),
    "no list": (5, "labels that are no list"),
    "astray": ([["../x.png", 0], *PAIRS], "leads out of its folder"),
}


@LAYOUTS
@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_is_refused_by_name(tmp_path, make, what):
    labels, reason = REFUSED[what]
    url = make(tmp_path, files({"labels": labels}))
    with pytest.raises(DataError, match=reason) as refused:
        source_of(url)
    assert "dataset.json" in str(refused.value)


def test_a_damaged_list_is_refused_and_one_of_another_kind_skipped(tmp_path):
    url = in_folder(tmp_path, files(None) | {"dataset.json": b"{"})
    with pytest.raises(DataError, match=r"dataset\.json is no JSON"):
        source_of(url)
    pets = image_folder(tmp_path / "pets", each=1)
    (pets / "dataset.json").write_text('{"name": "pets"}')
    found = source_of(str(pets))
    assert found.class_names == ("cat", "dog", "newt")
    assert found.skipped == {"that are no images": 1}


def test_a_byte_order_mark_before_it_is_taken(tmp_path):
    content = files({"labels": PAIRS})
    content["dataset.json"] = b"\xef\xbb\xbf" + content["dataset.json"]
    assert source_of(in_folder(tmp_path, content)).labels == LABELS


CHUNKS = {
    "edm": [f"{number // 1000:05d}/img{number:08d}.png" for number in (0, 1, 1000, 1001)],
    "img2dataset": [f"{shard:05d}/{shard:05d}{number:04d}.png" for shard in (0, 1) for number in (0, 7)],
    "ffhq": [f"{number // 1000 * 1000:05d}/{number:05d}.png" for number in (0, 1, 1000, 1999)],
}


@pytest.mark.parametrize("what", CHUNKS)
def test_folders_of_running_numbers_are_no_classes(tmp_path, what, caplog):
    found = source_of(in_folder(tmp_path, {name: encoded(pixels(0)) for name in CHUNKS[what]}))
    assert (len(found), found.classes, found.labels) == (4, None, None)
    assert "folders are of running numbers, so they are no classes" in caplog.text


@pytest.mark.parametrize(
    "names",
    [
        ["00000/a.png", "00001/b.png"],
        ["0/0.png", "1/1.png"],
        ["00001/00000001.png", "00002/00000001.png"],
        ["n01440764/n01440764_10026.JPEG", "n01443537/n01443537_2.JPEG"],
    ],
)
def test_other_numbers_are_classes(tmp_path, names):
    found = source_of(in_folder(tmp_path, {name: encoded(pixels(0)) for name in names}))
    assert (found.classes, found.labels) == (2, [0, 1])


def test_a_list_and_a_label_of_its_own_must_agree(tmp_path):
    content = files({"labels": PAIRS})
    assert source_of(in_tar(tmp_path, content | {"00000/img00000001.cls": b"1"})).labels == LABELS
    with pytest.raises(DataError, match=r"has label 2, and 1 in dataset\.json"):
        source_of(in_tar(tmp_path, content | {"00000/img00000001.cls": b"2"}))
    with pytest.raises(DataError, match=r"and another dataset\.json"):
        source_of(in_tar(tmp_path, content | {"other/dataset.json": content["dataset.json"]}))


def test_corrected_labels_are_another_source(tmp_path):
    first = source_of(in_folder(tmp_path, files({"labels": PAIRS}))).identity
    assert source_of(in_folder(tmp_path, files({"labels": changed(_2=1)}))).identity != first


def test_the_folder_above_and_stored_latents_are_told_apart(tmp_path):
    said = json.dumps({"labels": PAIRS}).encode()
    in_folder(tmp_path / "repa", {f"images/{name}": data for name, data in files({"labels": PAIRS}).items()})
    latents = {f"vae-sd/00000/img-mean-std-{number:08d}.npy": b"x" for number in range(4)}
    url = in_folder(tmp_path / "repa", {**latents, "vae-sd/dataset.json": said})
    with pytest.raises(
        DataError, match=r"set/images holds dataset\.json .* set the source's url to .*set/images"
    ):
        source_of(url)
    assert source_of(f"{url}/images").labels == LABELS
    with pytest.raises(DataError, match="latents that REPA's preprocessing stored, which are not read"):
        source_of(f"{url}/vae-sd")


@pytest.mark.parametrize("name", ["imagenet-64x64.zip", "x.7z", "x.rar", "X.ZIP"])
def test_other_archives_are_refused_by_name(tmp_path, name, capsys):
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    for url in (str(tmp_path / name), f"memory://nowhere/{name}"):
        with pytest.raises(DataError, match="an archive of a kind that is not read; unpack it"):
            source_of(url)
    with pytest.raises(DataError, match=f"unpack archives such as {name}"):
        source_of(str(tmp_path))
    assert main(["data", "inspect", str(tmp_path / name)]) == 4
    assert "unpack it" in capsys.readouterr().err
    (tmp_path / "named.tar").write_bytes(b"PK\x03\x04" + bytes(2000))
    with pytest.raises(DataError, match=r"named\.tar is an archive of a kind that is not read"):
        source_of(str(tmp_path / "named.tar"))
