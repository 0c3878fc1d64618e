"""Files and folders are there whole or not at all, nothing goes through a link, and only regular files are
read."""

import contextlib
import os
import threading
from pathlib import Path

import pytest

from fault_disk import FaultyDisk, NotingDisk
from thalweg import files
from thalweg.documents import read_document, text_of, write_document, write_text
from thalweg.errors import ConfigError, DataError, ThalwegError
from thalweg.files import open_own, sha256, whole, write_bytes
from thalweg.folders import leftovers, refuse_links, remove_tree, replace_folder, whole_folder
from thalweg.regular import NotRegularError, TooLongError, opened, read_bytes, read_json, read_text
from thalweg.storage.redaction import register_secrets


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def written(path, meanwhile=lambda: None):
    with whole(path) as file:
        file.write(b"one")
        meanwhile()
        file.write(b"two")


def filled(path, meanwhile=lambda: None):
    with whole_folder(path) as fresh:
        (fresh / "inner").mkdir()
        (fresh / "inner" / "file").write_text("content")
        meanwhile()


@pytest.mark.parametrize("act", [written, filled, lambda path: write_bytes(path, b"onetwo")])
def test_what_is_written_is_synced_before_it_is_moved_and_the_folder_after(tmp_path, monkeypatch, act):
    disk = NotingDisk()
    monkeypatch.setattr(files, "disk", disk)
    act(tmp_path / "out")
    done = [name for name, _ in disk.done]
    moved = done.index("move")
    assert "sync" in done[:moved]
    assert done[moved + 1 :] == ["sync"]
    assert disk.done[-1] == ("sync", tmp_path.name)
    assert not any(name in ("write", "create") for name in done[done.index("sync") : moved])
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("act", [written, filled])
def test_a_write_that_fails_leaves_nothing_and_says_why(tmp_path, monkeypatch, act):
    counting = NotingDisk()
    monkeypatch.setattr(files, "disk", counting)
    (tmp_path / "count").mkdir()
    act(tmp_path / "count" / "out")
    taking = [at for at, (name, _) in enumerate(counting.done, 1) if name != "move"]
    for at in taking:
        place = tmp_path / f"{at}"
        place.mkdir()
        monkeypatch.setattr(files, "disk", FaultyDisk(at, "full"))
        with pytest.raises(ThalwegError, match="cannot be written"):
            act(place / "out")
        # Whole, where only the folder above could not be synced.
        assert [name for name in names(place) if name != "out"] == []
        if (place / "out").exists():
            assert counting.done[at - 1][0] == "sync"


def test_an_error_inside_leaves_what_was_there(tmp_path):
    (tmp_path / "out").write_text("before")
    for act in (written, filled):
        with pytest.raises(ZeroDivisionError):
            act(tmp_path / "out", lambda: 1 // 0)
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out").read_text() == "before"


def test_a_large_file_can_be_gone_back_in(tmp_path):
    with whole(tmp_path / "out") as file:
        file.write(b"x" * 10**6)
        file.seek(3)
        file.write(b"y")
        file.truncate(10)
    assert (tmp_path / "out").read_bytes() == b"xxxyxxxxxx"


def test_what_is_being_written_is_no_leftover_until_it_has_its_place(tmp_path, monkeypatch):
    move, seen = files.disk.move, []

    def look(source, target):
        seen.append((len(list(tmp_path.iterdir())), leftovers(target)))
        move(source, target)

    monkeypatch.setattr(files.disk, "move", look)
    for act in (written, filled, lambda path: write_bytes(path, b"x")):
        act(tmp_path / f"out-{len(seen)}")
    assert seen == [(1, []), (2, []), (3, [])]


def test_leftovers_are_those_of_this_name(tmp_path):
    for name in (".out.0123abcd.part", ".outer.0123abcd.part", ".out.part", "out"):
        (tmp_path / name).touch()
    assert [path.name for path in leftovers(tmp_path / "out")] == [".out.0123abcd.part"]


def test_links_are_removed_and_never_what_they_point_to(tmp_path):
    kept = tmp_path / "kept"
    (kept / "below").mkdir(parents=True)
    (kept / "file").write_text("kept")
    (tmp_path / "link").symlink_to(kept)
    remove_tree(tmp_path / "link")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(kept)
    (folder / "dangling").symlink_to(tmp_path / "nowhere")
    remove_tree(folder)
    for target in (kept, tmp_path / "nowhere"):
        fresh = tmp_path / "fresh"
        fresh.mkdir()
        (tmp_path / "place").symlink_to(target)
        former = replace_folder(tmp_path / "place", fresh)
        assert former is not None
        remove_tree(former)
        assert (tmp_path / "place").is_dir()
        assert not (tmp_path / "place").is_symlink()
        remove_tree(tmp_path / "place")
    assert names(kept) == ["below", "file"]
    assert names(tmp_path) == ["kept"]


def test_nothing_is_written_through_a_link(tmp_path):
    target = tmp_path / "target"
    target.write_text("kept")
    link = tmp_path / "link"
    link.symlink_to(target)
    with pytest.raises(ConfigError, match="is a link"):
        open_own(link)
    write_bytes(link, b"new")  # takes the link's place
    assert not link.is_symlink()
    assert target.read_text() == "kept"
    run = tmp_path / "run"
    run.mkdir()
    (run / "samples").symlink_to(tmp_path)
    refuse_links(run, "checkpoints", "metrics.jsonl")
    for name in ("samples", "samples/deep"):
        with pytest.raises(ConfigError, match="samples is a link"):
            refuse_links(run, name)


def test_a_file_of_ones_own_is_kept_and_changed_in_place(tmp_path):
    with open_own(tmp_path / "log") as file:
        file.write(b"one")
    with open_own(tmp_path / "log") as file:
        assert file.read() == b"one"
        file.write(b"two")
    assert (tmp_path / "log").read_bytes() == b"onetwo"
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ConfigError, match="no regular file"):
        open_own(tmp_path / "fifo")


def test_what_is_no_regular_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    said = []

    def look():
        for path in (tmp_path / "fifo", tmp_path, Path("/dev/zero")):
            for read in (opened, read_bytes, read_text, read_json, sha256):
                try:
                    read(path)
                except NotRegularError as error:
                    said.append(error.strerror)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(20)
    assert (
        said
        == ["it is a FIFO, not a regular file"] * 5
        + ["it is a folder, not a regular file"] * 5
        + ["it is a device, not a regular file"] * 5
    )


def test_documents_have_bounds(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("[" * 10**5)
    with pytest.raises(ValueError, match="nested too deeply"):
        read_json(path)
    with pytest.raises(TooLongError, match="more than 10 bytes"):
        read_bytes(path, 10)
    path.write_text('{"x": NaN}')
    with pytest.raises(ValueError, match="NaN is no number"):
        read_json(path)


def test_every_flipped_bit_of_a_sealed_document_is_noticed(tmp_path):
    path, data = tmp_path / "x.json", {"a": [1, 2.5, None], "b": "Käse", "c": {"d": True}}
    write_document(path, data, sealed=True)
    content = path.read_bytes()
    assert read_document(path, "a test", "write it anew", sealed=True) == data
    silent = []
    for at in range(len(content)):
        for bit in range(8):
            path.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
            with contextlib.suppress(DataError):
                found = read_document(path, "a test", "write it anew", sealed=True)
                silent += [] if found == data else [(at, bit)]
    assert silent == []


def test_documents_hold_no_secret(tmp_path):
    secret = "canary-in-a-document"
    register_secrets({"token": secret})
    data = {
        "override": f"data.token={secret}",
        "storage_options": {"password": "short", "endpoint_url": "http://here", "deep": {"x": ["y"]}},
        "urls": [f"s3://user:{secret}@bucket", "https://a:b@host/x"],
    }
    write_document(tmp_path / "x.json", data)
    write_text(tmp_path / "x.txt", f"token {secret}")
    assert secret not in (tmp_path / "x.json").read_text() + (tmp_path / "x.txt").read_text()
    assert read_document(tmp_path / "x.json", "a test", "") == {
        "override": "data.token=***",
        "storage_options": {"password": "***", "endpoint_url": "http://here", "deep": {"x": "***"}},
        "urls": ["s3://***@bucket", "https://***@host/x"],
    }
    assert text_of({"a": 1}) == '{\n  "a": 1\n}\n'
    with pytest.raises(ThalwegError, match="not finite"):
        write_document(tmp_path / "x.json", {"a": float("nan")})
