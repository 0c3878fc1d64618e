"""Tar files of samples, and tar files that mean harm."""

import io
import json
import os
import tarfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_makers import encoded, image_tars, pixels, tar
from thalweg.config import component
from thalweg.data.sources import source_of
from thalweg.data.sources.braces import expanded
from thalweg.errors import ConfigError, DataError

IMAGES = [encoded(pixels(number)) for number in range(4)]


def source(url, **options):
    return component("source", {"type": "tar", "url": str(url), **options}).build()


def test_a_folder_a_pattern_and_one_file(tmp_path):
    image_tars(tmp_path, count=12, parts=3)
    every = source(tmp_path)
    assert (len(every), every.classes, every.class_names, every.captioned) == (12, 3, (), False)
    assert every.labels == [0, 1, 2] * 4
    record = every[5]
    assert (record.key, record.label) == ("part-01.tar/005", 2)
    assert np.array_equal(record.image, pixels(5))
    pattern = source(tmp_path / "part-{00..02}.tar")
    assert pattern.identity == every.identity
    assert [pattern[i].key for i in range(12)] == [every[i].key for i in range(12)]
    one = source(tmp_path / "part-02.tar")
    assert [one[i].key for i in range(4)] == ["008", "009", "010", "011"]
    assert one.identity != every.identity


def test_members_that_share_a_name_are_a_sample_wherever_they_stand(tmp_path):
    path = tar(
        tmp_path / "x.tar",
        {
            "./v1.5/b.txt": b"of b\n\nmore of b\n",
            "v1.5/a.PNG": IMAGES[0],
            "v1.5/b.jpeg": IMAGES[1],
            "v1.5/a.json": json.dumps({"label": 4, "caption": "of a", "license": 1}).encode(),
            "v1.5/b.cls": b"2\n",
        },
    )
    with pytest.raises(DataError, match=r"holds two of|no image"):
        source(tar(tmp_path / "y.tar", {"a.png": IMAGES[0], "a.jpg": IMAGES[1]}))
    found = source(path)
    records = {found[i].key: found[i] for i in range(2)}
    assert records["v1.5/a"].label == 4
    assert records["v1.5/a"].captions == ("of a",)
    assert records["v1.5/b"].captions == ("of b", "more of b")
    assert np.array_equal(records["v1.5/b"].image, pixels(1))
    assert (found.classes, found.captioned, sorted(found.labels)) == (5, True, [2, 4])


def test_classes_may_be_stated(tmp_path):
    image_tars(tmp_path)
    assert source(tmp_path, classes=1000).classes == 1000
    with pytest.raises(DataError, match="label 2, beyond 2 classes"):
        source(tmp_path, classes=2)


def test_images_alone_bear_nothing(tmp_path):
    found = source(tar(tmp_path / "x.tar", {"a.png": IMAGES[0]}))
    assert (found.classes, found.captioned, found.labels) == (None, False, None)


def test_other_members_are_skipped_with_one_line(tmp_path, caplog):
    members = {"README": b"x", "a.png": IMAGES[0], "a.seg.png": IMAGES[1], "._a.png": b"x", "a.npy": b"x"}
    found = source(tar(tmp_path / "x.tar", members))
    assert [found[0].key, len(found)] == ["a", 1]
    assert found.skipped == {"hidden or of a system": 1, "that are no images, labels or captions": 3}
    (line,) = caplog.messages
    assert "3 that are no images, labels or captions (the first README)" in line


def test_long_names_and_folders_are_no_trouble(tmp_path):
    for number, form in enumerate((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)):
        key = f"{'ordner/' * 20}{'ü' * 90}"
        path = tmp_path / f"{number}.tar"
        with tarfile.open(path, "w", format=form) as archive:
            archive.addfile(special("ordner", tarfile.DIRTYPE))
            info = tarfile.TarInfo(f"{key}.png")
            info.size = len(IMAGES[0])
            archive.addfile(info, io.BytesIO(IMAGES[0]))
        assert source(path)[0].key == key


def special(name, kind, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


HARMFUL = {
    "symbolic link": (special("evil.png", tarfile.SYMTYPE, "/etc/passwd"), "a link"),
    "hard link": (special("evil.png", tarfile.LNKTYPE, "a.png"), "a link"),
    "character device": (special("evil.png", tarfile.CHRTYPE), "a device"),
    "block device": (special("evil.png", tarfile.BLKTYPE), "a device"),
    "pipe": (special("evil.png", tarfile.FIFOTYPE), "a device"),
    "unknown type": (special("evil.png", b"V"), "no plain file|no tar file"),
    "traversal": (special("../evil.png", tarfile.REGTYPE), "leads out of it"),
    "hidden traversal": (special("a/b/../../../evil.png", tarfile.REGTYPE), "leads out of it"),
    "absolute": (special("/tmp/evil.png", tarfile.REGTYPE), "leads out of it"),
    "backslashes": (special("..\\evil.png", tarfile.REGTYPE), "leads out of it"),
    "drive": (special("C:\\evil.png", tarfile.REGTYPE), "leads out of it"),
    "folder": (special("../evil.png", tarfile.DIRTYPE), "leads out of it"),
}


@pytest.mark.parametrize("what", HARMFUL)
def test_harm_is_refused_by_name_and_nothing_is_written(tmp_path, monkeypatch, what):
    member, reason = HARMFUL[what]
    folder = tmp_path / "in" / "here"
    folder.mkdir(parents=True)
    path = tar(folder / "x.tar", {"a.png": IMAGES[0]})
    with tarfile.open(path, "a") as archive:
        archive.addfile(member)
    monkeypatch.chdir(folder)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match=reason) as error:
        source(path)
    assert "evil.png" in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_tar_cut_off_anywhere_is_refused(tmp_path):
    path = tar(
        tmp_path / "x.tar", {f"{n}{s}": c for n in "ab" for s, c in ((".png", IMAGES[0]), (".cls", b"1"))}
    )
    data = path.read_bytes()
    end = max(place for place, byte in enumerate(data) if byte)
    for stop in [*range(0, end, 100), *range(0, end, 512)]:
        path.write_bytes(data[:stop])
        with pytest.raises(DataError, match=r"x\.tar"):
            source(path)


def test_what_is_no_tar_is_refused(tmp_path):
    path = tmp_path / "x.tar"
    for content in (b"", b"hello", bytes(511), b"x" * 2048, IMAGES[0]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"x\.tar is (no tar file|damaged)"):
            source(path)
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("a.png"))
    with pytest.raises(DataError, match=r"x\.tar is compressed with gzip.*gunzip"):
        source(path)
    with pytest.raises(DataError, match=r"nowhere\.tar"):
        source(tmp_path / "nowhere.tar")
    with pytest.raises(DataError, match=r"neither a \.tar file nor a folder"):
        source(tmp_path / "x.txt")


@pytest.mark.parametrize("ending", ["tar.gz", "tgz", "tar.bz2", "tar.xz", "tar.zst", "TAR.GZ"])
def test_compressed_tars_are_refused_by_name(tmp_path, ending):
    tar(tmp_path / "a.tar", {"a.png": IMAGES[0]})
    path = tmp_path / f"b.{ending}"
    path.write_bytes(b"x")
    for url in (path, tmp_path):  # beside others too, whose images would else be all there are
        for read in (source, source_of):
            with pytest.raises(DataError, match=rf"b\.{ending} is a compressed tar.*decompress it"):
                read(str(url))


@pytest.mark.parametrize(("mode", "method"), [("w:gz", "gzip"), ("w:bz2", "bzip2"), ("w:xz", "xz")])
def test_what_compressed_a_tar_is_told_whatever_its_name(tmp_path, mode, method):
    with tarfile.open(tmp_path / "x.tar", mode) as archive:
        archive.addfile(tarfile.TarInfo("a.png"))
    with pytest.raises(DataError, match=f"compressed with {method}"):
        source(tmp_path / "x.tar")


def test_damage_after_the_first_member_is_seen(tmp_path):
    path = tar(tmp_path / "x.tar", {"a.png": IMAGES[0], "b.png": IMAGES[1]})
    data = bytearray(path.read_bytes())
    data[data.index(b"b.png")] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="damaged or cut off at byte"):
        source(path)


@settings(max_examples=150, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 511), st.binary(min_size=1, max_size=12)), min_size=1))
def test_a_header_of_any_kind_gives_a_source_or_a_data_error(tmp_path_factory, changes):
    path = tar(tmp_path_factory.mktemp("tar") / "x.tar", {"a.png": IMAGES[0], "b.png": IMAGES[1]})
    data = bytearray(path.read_bytes())
    for place, content in changes:
        data[place : place + len(content)] = content
    head = data[:148] + b" " * 8 + data[156:512]
    data[148:156] = b"%06o\0 " % sum(head)  # so that the header is believed
    path.write_bytes(data)
    try:
        found = source(path)
        assert len(found) <= 2
        [found[i] for i in range(len(found))]
    except DataError:
        pass


def test_a_header_that_claims_a_huge_name_is_not_believed(tmp_path):
    path = tmp_path / "x.tar"
    for kind in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE):
        info = special("name", kind)
        info.size = 2**34
        path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
        with pytest.raises(DataError, match="a header of"):
            source(path)


def test_zero_samples_are_an_error(tmp_path):
    with pytest.raises(DataError, match=r"holds no \.tar file"):
        source(tmp_path)
    tar(tmp_path / "x.tar", {})
    with pytest.raises(DataError, match="holds no jpg, png or webp image"):
        source(tmp_path)


@pytest.mark.parametrize(
    ("sidecars", "reason"),
    [
        ({"a.cls": b"cat"}, r"a\.cls in .* must be a class"),
        ({"a.cls": b"-1"}, "must be a class"),
        ({"a.cls": b"1.0"}, "must be a class"),
        ({"a.cls": b""}, "must be a class"),
        ({"a.cls": b"9" * 30}, "must be a class"),
        ({"a.cls": bytes(2**20 + 1)}, "far too many"),
        ({"a.json": b"{"}, r"a\.json in .* is no JSON"),
        ({"a.json": b"[" * 100_000}, "is no JSON"),
        ({"a.json": b"\xff\xfe"}, "is no JSON"),
        ({"a.json": b"[1]"}, "holds no object"),
        ({"a.json": b'{"label": true}'}, "has the label True"),
        ({"a.json": b'{"label": "1"}'}, "has the label '1'"),
        ({"a.json": b'{"caption": 3}'}, "neither a text nor a list"),
        ({"a.json": b'{"label": 1}', "a.cls": b"2"}, "label 2 in .cls and 1 in .json"),
        ({"c.cls": b"1"}, r"1 samples .* have no jpg, png or webp image, the first is that of c\.cls"),
        (
            {"a.cls": b"1", "b.png": IMAGES[1], "c.png": IMAGES[2]},
            "2 of 3 samples .* no label, the first is b",
        ),
        ({"a.txt": b"x", "b.png": IMAGES[1]}, "1 of 2 samples .* no caption, the first is b"),
        ({"a.json": b'{"status": "ok"}', "c.json": b"{}"}, "1 samples .* no jpg"),
    ],
)
def test_samples_that_make_no_sense_are_refused(tmp_path, sidecars, reason):
    with pytest.raises(DataError, match=reason):
        source(tar(tmp_path / "x.tar", {"a.png": IMAGES[0], **sidecars}))


def test_a_damaged_member_is_named(tmp_path):
    found = source(tar(tmp_path / "x.tar", {"a.png": IMAGES[0][:60], "b.png": IMAGES[1]}))
    with pytest.raises(DataError, match=r"a\.png in .*x\.tar is damaged or cut off"):
        found[0]
    assert found[1].image.shape == (8, 8, 3)


def test_a_tar_that_was_replaced_is_not_read_at_the_old_places(tmp_path):
    path = tar(tmp_path / "x.tar", {"a.png": IMAGES[0], "b.png": IMAGES[1]})
    found = source(path)
    assert np.array_equal(found[1].image, pixels(1))
    path.unlink()
    tar(path, {"b.png": IMAGES[1], "a.png": IMAGES[0], "c.png": IMAGES[2]})
    with pytest.raises(DataError, match="was replaced"):
        found[1]


def sample(key, caption, **said):
    """A sample as img2dataset writes it."""
    said = {"caption": caption, "key": key, "status": "success", **said}
    return {
        f"{key}.png": IMAGES[0],
        f"{key}.txt": (caption or "").encode(),
        f"{key}.json": json.dumps(said).encode(),
    }


def test_a_caption_in_text_and_json_is_one(tmp_path):
    members = {
        **sample("0", "a photo"),
        **sample("1", " two\n lines "),
        **sample("2", "a photo\u2028of one line"),
        "3.png": IMAGES[0],
        "3.txt": b"\xef\xbb\xbfone\r\ntwo\r\n\r\n",
        "3.json": b'{"caption": ["two", "three", " ", null]}',
    }
    found = source(tar(tmp_path / "x.tar", members))
    assert [found.captions(index) for index in range(4)] == [
        ("a photo",),
        ("two\n lines",),
        ("a photo\u2028of one line",),
        ("one", "two", "three"),
    ]


@pytest.mark.parametrize(
    "members",
    [
        {"a.txt": b""},
        {"a.txt": b" \n\t\r\n"},
        {"a.txt": b"\xef\xbb\xbf"},
        {"a.json": b'{"caption": null}'},
        {"a.json": b'{"caption": ""}'},
        {"a.json": b'{"caption": " "}'},
        {"a.json": b'{"caption": []}'},
        {"a.json": b'{"caption": [null, ""]}'},
        {"a.txt": b"", "a.json": b'{"caption": null}'},
    ],
)
def test_an_empty_caption_is_none_wherever_it_stands(tmp_path, members):
    found = source(
        tar(tmp_path / "x.tar", {"a.png": IMAGES[0], **members, "b.png": IMAGES[1], "b.txt": b"b"})
    )
    assert found.captioned
    assert [found[0].captions, found[1].captions] == [(), ("b",)]


def test_what_could_not_be_downloaded_is_counted(tmp_path):
    failed = sample("1", "gone", status="failed_to_download")
    for without in ((), ("1.png",)):
        members = {**sample("0", "x"), **failed, **sample("2", "y", status="ok")}
        found = source(tar(tmp_path / "x.tar", {n: c for n, c in members.items() if n not in without}))
        assert [found[index].key for index in range(len(found))] == ["0", "2"]
        assert found.skipped == {"whose download failed": 1}


def test_a_byte_order_mark_is_no_part_of_a_class_or_json(tmp_path):
    mark = b"\xef\xbb\xbf"
    members = {
        "a.png": IMAGES[0],
        "a.cls": mark + b"2",
        "b.png": IMAGES[1],
        "b.json": mark + b'{"label": 1}',
    }
    assert source(tar(tmp_path / "x.tar", members)).labels == [2, 1]


def test_classes_that_no_image_has_are_told_of(tmp_path, caplog):
    found = source(
        tar(tmp_path / "x.tar", {"a.png": IMAGES[0], "a.cls": b"1", "b.png": IMAGES[1], "b.cls": b"4"})
    )
    assert (found.labels, found.classes) == ([1, 4], 5)
    assert "there are 5 classes; of 3 there is no image, the first is 0" in caplog.messages[0]


def test_names_in_a_tar_need_not_be_utf_8(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    with tarfile.open(tmp_path / "x.tar", "w", errors="surrogateescape") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(IMAGES[0])
        archive.addfile(info, io.BytesIO(IMAGES[0]))
    found = source(tmp_path / "x.tar")
    assert found[0].key == name.removesuffix(".png")
    assert found.identity


def test_names_that_are_skipped_are_written_out(tmp_path, caplog):
    with tarfile.open(tmp_path / "x.tar", "w", errors="surrogateescape") as archive:
        for name in ("a.png", os.fsdecode(b"caf\xe9.md"), "b\u202eb.md"):
            info = tarfile.TarInfo(name)
            info.size = len(IMAGES[0])
            archive.addfile(info, io.BytesIO(IMAGES[0]))
    source(tmp_path / "x.tar")
    (message,) = caplog.messages
    assert "2 that are no images, labels or captions (the first caf\\udce9.md)" in message
    assert message.isprintable()


def test_names_of_tars_may_look_like_patterns_and_queries(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("what?.tar", "a{1..2}.tar", "a{b}.TAR"):
        tar(tmp_path / name, {"a.png": IMAGES[0]})
        for url in (name, str(tmp_path / name), (tmp_path / name).as_uri()):
            assert len(source_of(url)) == 1
    folder = tmp_path / "in{1..2}{b}"
    folder.mkdir()
    image_tars(folder)
    every = source(folder)
    pattern = source(folder / "part-{00..01}.tar")
    assert [pattern[n].key for n in range(12)] == [every[n].key for n in range(12)]


def test_what_macos_leaves_beside_tars_is_skipped(tmp_path):
    image_tars(tmp_path)
    (tmp_path / "._part-00.tar").write_bytes(b"Mac OS X        " * 20)
    (tmp_path / "part-00_stats.json").write_bytes(b"{}")
    found = source_of(str(tmp_path))
    assert (len(found), found.classes) == (12, 3)
    assert found.skipped == {"hidden or of a system": 1, "that are no tar files": 1}


def test_patterns_count_as_they_are_written():
    assert expanded("plain.tar") == ["plain.tar"]
    assert expanded("s-{8..11}.tar") == ["s-8.tar", "s-9.tar", "s-10.tar", "s-11.tar"]
    assert expanded("s-{008..010}.tar?x={1..2}") == [
        f"s-{number}.tar?x={x}" for number in ("008", "009", "010") for x in (1, 2)
    ]
    for wrong in ("{a,b}.tar", "{1..}.tar", "{1..2.tar", "1..2}.tar"):
        with pytest.raises(ConfigError, match="no range"):
            expanded(wrong)
    with pytest.raises(ConfigError, match="backwards"):
        expanded("{5..4}.tar")
    with pytest.raises(ConfigError, match="more than 1000000"):
        expanded("{0..99999}{0..99999}.tar")
