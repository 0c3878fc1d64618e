"""Weights fetched by name: from a server that fails, by several processes, stopped and taken up again."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import thalweg
from failing_disk import FailingDisk
from fault_server import Fault
from hub_stand_in import Account, hub_stand_in
from thalweg import ConfigError, DataError, ThalwegError, files
from thalweg.cli.main import main
from thalweg.files import Disk
from thalweg.storage import Location
from thalweg.storage.locks import locked
from thalweg.weights.fetching import get
from thalweg.weights.here import path_of
from weights_makers import entry, plugin_file, publishing, sha256, weights_of_one_test

CONTENT = random.Random(0).randbytes(3_000_000)
SUM = sha256(CONTENT)
KNOWN = {"sha256": SUM, "checked": "stated"}


@pytest.fixture
def publisher():
    with publishing() as found:
        yield found


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Where weights go; with plugins and memories of one test."""
    with weights_of_one_test(tmp_path, monkeypatch) as found:
        yield found


@pytest.fixture
def offer(publisher, place, tmp_path):
    """Add a file ``x`` of these weights to what can be fetched; its path once it is here."""

    def offered(name="tiny", content=CONTENT, **of_file):
        table = {name: entry(publisher, name, {"x.bin": content}, **of_file)}
        thalweg.use_file(plugin_file(tmp_path, table, f"zoo_{name}"))
        return place / name / "x.bin"

    return offered


def left(path: Path) -> set[str]:
    """What is there beside the lock."""
    return {one.name for one in path.parent.iterdir()} - {".lock"} if path.parent.is_dir() else set()


def test_a_file_is_fetched_once_and_compared(offer, publisher):
    path = offer(**KNOWN, bytes=len(CONTENT))
    shown = []
    assert get(["tiny"], lambda *args: shown.append(args)) == {"tiny": path}
    assert path.read_bytes() == CONTENT
    assert shown[0] == ("tiny (MB)", 0, 3)
    assert shown[-1] == ("tiny (MB)", 3, 3)
    assert left(path) == {"x.bin", "arrived.json"}
    note = json.loads((path.parent / "arrived.json").read_text())["files"]["x.bin"]
    assert note == {"bytes": len(CONTENT), "sha256": SUM, "source": f"{publisher.url}/tiny/x.bin"}
    publisher.proxy.spoil()
    assert get(["tiny"]) == {"tiny": path}
    assert publisher.proxy.requests == []


def test_a_folder_of_several_files(publisher, place, tmp_path):
    table = {"enc": entry(publisher, "enc", {"config.json": b"{}", "model.bin": CONTENT})}
    thalweg.use_file(plugin_file(tmp_path, table))
    publisher.proxy.spoil(Fault(404, path="model.bin"))
    with pytest.raises(DataError, match=r"enc/model.bin does not exist"):
        get(["enc"])
    assert (place / "enc/config.json").read_bytes() == b"{}"
    with pytest.raises(DataError, match="'enc' are not here"):
        path_of("enc")
    publisher.proxy.spoil()
    assert get(["enc"]) == {"enc": place / "enc"}
    assert publisher.bodies("config.json") == []
    assert path_of("enc") == place / "enc"
    assert Location("weights:enc").children() == [".lock", "arrived.json", "config.json", "model.bin"]


@pytest.mark.parametrize("mode", ["cut", "shifted", 503, "whole"])
def test_spoilt_answers_are_requested_again(offer, publisher, mode):
    path = offer(**KNOWN)
    publisher.proxy.spoil(Fault(mode), Fault(mode), Fault(mode))
    get(["tiny"])
    assert path.read_bytes() == CONTENT


def stopped(offer, publisher, **of_file):
    """Fetching that fails for good when half of it is there: where it goes, and how much has arrived."""
    path = offer(**of_file)
    publisher.proxy.spoil(Fault("whole"), Fault("cut"), Fault(403, times=-1))
    with pytest.raises(DataError, match="403"):
        get(["tiny"])
    assert left(path) == {".x.bin.partial", ".x.bin.version"}
    publisher.proxy.spoil()
    size = path.with_name(".x.bin.partial").stat().st_size
    assert 0 < size <= len(CONTENT) // 2
    return path, size


@pytest.mark.parametrize("of_file", [KNOWN, {}], ids=["known", "unknown"])
def test_it_goes_on_from_the_byte_where_it_stopped(offer, publisher, of_file):
    path, size = stopped(offer, publisher, **of_file)
    get(["tiny"])
    assert path.read_bytes() == CONTENT
    assert publisher.bodies("x.bin") == [f"bytes={size}-"]
    assert left(path) == {"x.bin", "arrived.json"}


def test_another_version_is_begun_anew(offer, publisher):
    path, _ = stopped(offer, publisher)
    other = CONTENT[::-1]
    publisher.files["/tiny/x.bin"] = other
    get(["tiny"])
    assert path.read_bytes() == other
    assert publisher.bodies("x.bin") == [None]


def test_another_size_is_begun_anew(offer, publisher):
    path, _ = stopped(offer, publisher)
    publisher.tags["/tiny/x.bin"] = '"the same"'
    publisher.files["/tiny/x.bin"] = CONTENT[:1_000_000]
    get(["tiny"])
    assert path.read_bytes() == CONTENT[:1_000_000]


def test_a_version_that_changes_meanwhile_is_no_mixture(offer, publisher):
    path = offer()

    def replace():
        publisher.files["/tiny/x.bin"] = CONTENT[::-1]

    publisher.proxy.spoil(Fault("whole"), Fault("cut", after=replace))
    with pytest.raises(DataError, match="was replaced while it was read"):
        get(["tiny"])
    assert not path.exists()
    get(["tiny"])
    assert path.read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("of_file", [KNOWN, {}], ids=["known", "unknown"])
def test_a_server_without_versions(offer, publisher, of_file):
    publisher.tags["/tiny/x.bin"] = ""
    path, size = stopped(offer, publisher, **of_file)
    get(["tiny"])
    assert path.read_bytes() == CONTENT
    # A mixture of two versions is noticed by the whole checksum alone.
    assert publisher.bodies("x.bin") == [f"bytes={size}-" if of_file else None]


def test_a_server_without_ranges(offer, publisher):
    publisher.ranges = False
    path, _ = stopped(offer, publisher, **KNOWN)
    get(["tiny"])
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("of_file", "fault"),
    [
        ({"sha256": "0" * 64, "checked": "stated"}, "does not begin with 0000"),
        ({"sha256": "01234567", "checked": "stated"}, "does not begin with 01234567; try again later"),
        ({"bytes": 7}, "has 3,000,000 bytes where 7 are expected; get it from https://example.org/weights"),
    ],
)
def test_what_is_not_what_it_must_be_is_not_kept(offer, of_file, fault):
    path = offer(**of_file)
    with pytest.raises(DataError, match=fault):
        get(["tiny"])
    assert left(path) == set()
    with pytest.raises(DataError, match="are not here"):
        path_of("tiny")


def test_a_web_page_is_no_file(offer):
    path = offer(content=b"<!DOCTYPE html><html>sign in</html>")
    with pytest.raises(
        DataError, match=r"is a web page and no file of weights; try again later, or get it from"
    ):
        get(["tiny"])
    assert left(path) == set()


def test_the_next_url_is_tried(publisher, place, tmp_path, caplog):
    about = entry(publisher, "tiny", {"x.bin": CONTENT}, **KNOWN)
    about["files"][0]["urls"].insert(0, f"{publisher.url}/gone")
    thalweg.use_file(plugin_file(tmp_path, {"tiny": about}))
    get(["tiny"])
    assert "gone does not exist; trying the next place" in caplog.text


def test_an_unknown_sum_is_said_and_compared_from_then_on(offer, caplog):
    path = offer()
    get(["tiny"])
    (said,) = [one.getMessage() for one in caplog.records]
    assert said == (
        f"no SHA-256 is known of x.bin of the weights 'tiny'; what it has now, {SUM}, is compared from now on"
    )
    assert path_of("tiny") == path
    path.write_bytes(CONTENT[::-1])
    with pytest.raises(
        DataError, match=f"not what it was when it arrived.*and was {SUM}; remove it, then run"
    ):
        path_of("tiny")
    with pytest.raises(DataError, match="not what it was when it arrived"):
        get(["tiny"])
    path.unlink()
    get(["tiny"])
    assert path.read_bytes() == CONTENT


def test_a_file_that_is_fetched_anew_and_is_another_one_is_told(offer, publisher, caplog):
    path = offer()
    get(["tiny"])
    path.unlink()
    publisher.files["/tiny/x.bin"] = CONTENT[::-1]
    caplog.clear()
    get(["tiny"])
    assert path_of("tiny") == path
    said = f"'tiny' is another file than the one that was here before, whose SHA-256 was {SUM}"
    assert caplog.records[0].getMessage() == f"x.bin of the weights {said}"


def test_a_file_is_hashed_once_in_a_process(offer, monkeypatch):
    offer(**KNOWN)
    get(["tiny"])
    path_of("tiny")
    monkeypatch.setattr("thalweg.weights.here.hashlib", None)
    path_of("tiny")


def test_a_file_put_there_by_hand(offer, publisher, caplog):
    path = offer(**KNOWN)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"another")
    with pytest.raises(DataError, match=r"is not what is published as 'tiny'.*does not begin with"):
        path_of("tiny")
    path.write_bytes(CONTENT)
    assert path_of("tiny") == path
    note = json.loads((path.parent / "arrived.json").read_text())
    assert note["files"]["x.bin"]["source"] == "by hand"
    assert get(["tiny"]) == {"tiny": path}
    assert publisher.proxy.requests == []
    assert caplog.text == ""


def test_a_file_put_there_by_hand_whose_sum_is_unknown(offer, caplog):
    path = offer()
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    assert path_of("tiny") == path
    assert f"what it has now, {sha256(b'mine')}, is compared from now on" in caplog.text
    path.write_bytes(b"others")
    with pytest.raises(DataError, match="not what it was when it arrived"):
        path_of("tiny")


def test_a_damaged_note_is_named(offer):
    path = offer(**KNOWN)
    get(["tiny"])
    note = path.parent / "arrived.json"
    note.write_text(note.read_text().replace("3000000", "3000001"))
    with pytest.raises(DataError, match=r"arrived.json is damaged .*remove it, and what is there is taken"):
        path_of("tiny")
    note.unlink()
    assert path_of("tiny") == path


@pytest.mark.parametrize("variable", ["THALWEG_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_it_says_what_to_copy_where(offer, publisher, place, monkeypatch, capsys, variable):
    path = offer(**KNOWN)
    other = offer("more", sha256="01234567", checked="stated")
    third = offer("third")
    monkeypatch.setenv(variable, "1")
    assert main(["weights", "get", "tiny", "more", "third"]) == 4
    said = capsys.readouterr().err.splitlines()
    assert said == [
        f"error: {variable} is set, so nothing is downloaded; copy these files, and they are used once their "
        "SHA-256 was compared:",
        f"  {publisher.url}/tiny/x.bin to {path} (SHA-256 {SUM})",
        f"  {publisher.url}/more/x.bin to {other} (SHA-256 01234567...)",
        f"  {publisher.url}/third/x.bin to {third} (SHA-256 unknown)",
    ]
    assert publisher.proxy.requests == []
    assert not place.exists()
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert main(["weights", "get", "tiny"]) == 0
    assert capsys.readouterr().out == f"tiny: {path}\n"


def test_offline_is_no_word_but_yes(offer, monkeypatch):
    offer(**KNOWN)
    monkeypatch.setenv("THALWEG_OFFLINE", "0")
    get(["tiny"])


def test_a_full_disk_keeps_what_fits_and_the_same_call_goes_on(offer, publisher, monkeypatch):
    path = offer(**KNOWN)

    class Full(Disk):
        room = 2_000_000

        def write(self, descriptor, content):
            if not Full.room:
                raise OSError(28, os.strerror(28))
            written = super().write(descriptor, content[: Full.room])
            Full.room -= written
            return written

    monkeypatch.setattr(files, "disk", Full())
    with pytest.raises(ThalwegError, match=r"cannot be written \(No space left on device\)") as caught:
        get(["tiny"])
    assert not isinstance(caught.value, DataError)
    assert not path.exists()
    monkeypatch.setattr(files, "disk", Disk())
    publisher.proxy.spoil()
    get(["tiny"])
    assert path.read_bytes() == CONTENT
    (asked,) = publisher.bodies("x.bin")
    assert 0 < int(asked.removeprefix("bytes=").removesuffix("-")) <= 2_000_000


def test_whatever_operation_of_the_disk_fails(offer, publisher, tmp_path, monkeypatch):
    offer(**KNOWN)

    def fail():
        raise OSError(5, os.strerror(5))

    disk, failed, at = None, 0, 0
    while disk is None or disk.left <= 0:
        at += 1
        monkeypatch.setenv("THALWEG_WEIGHTS", str(tmp_path / str(at)))
        path = tmp_path / str(at) / "tiny/x.bin"
        disk = FailingDisk(at, fail)
        monkeypatch.setattr(files, "disk", disk)
        said = None
        try:
            get(["tiny"])
        except ThalwegError as error:
            said = error
        if said is not None:
            failed += 1
            assert "cannot be written" in str(said)
            assert not isinstance(said, DataError)
        assert not path.exists() or path.read_bytes() == CONTENT
        monkeypatch.setattr(files, "disk", Disk())
        assert get(["tiny"]) == {"tiny": path}
        assert path.read_bytes() == CONTENT
        assert {"x.bin", "arrived.json"} <= left(path)
    assert failed > 10


def test_too_little_room_is_said_before_anything_is_requested(offer, publisher):
    offer(about=2**60)
    with pytest.raises(ThalwegError, match=r"1073741824.0 GiB are going to be written .* by THALWEG_WEIGHTS"):
        get(["tiny"])
    assert publisher.proxy.requests == []


def test_a_place_that_cannot_be_a_folder(offer, tmp_path, monkeypatch):
    offer(**KNOWN)
    (tmp_path / "file").touch()
    monkeypatch.setenv("THALWEG_WEIGHTS", str(tmp_path / "file"))
    with pytest.raises(ThalwegError, match=r"cannot be written .*name another folder by THALWEG_WEIGHTS"):
        get(["tiny"])
    monkeypatch.setenv("THALWEG_WEIGHTS", "s3://bucket/weights")
    with pytest.raises(ConfigError, match="THALWEG_WEIGHTS is s3://bucket/weights, and must be a path"):
        get(["tiny"])


@pytest.mark.parametrize("mode", [401, 403])
def test_no_secret_is_written_or_printed(offer, publisher, place, monkeypatch, capsys, mode):
    secret = "hf_averysecrettokenindeed"
    path = offer(**KNOWN)
    options = {publisher.url: {"headers": {"Authorization": f"Bearer {secret}"}}}
    monkeypatch.setenv("THALWEG_STORAGE_OPTIONS", json.dumps(options))
    publisher.proxy.spoil(Fault(mode))
    assert main(["--debug", "weights", "get", "tiny"]) == 4
    publisher.proxy.spoil(Fault("whole"), Fault("cut"), Fault(mode))
    assert main(["--debug", "weights", "get", "tiny"]) == 4
    kept = [one.read_bytes() for one in place.rglob("*") if one.is_file()]
    assert main(["--debug", "weights", "get", "tiny", "--json"]) == 0
    assert path.read_bytes() == CONTENT
    assert any(secret in one.get("Authorization", "") for one in publisher.headers)
    printed = capsys.readouterr()
    assert f"may not be accessed ({mode})" in printed.err
    kept += [one.read_bytes() for one in place.rglob("*") if one.is_file()]
    assert all(secret.encode() not in one for one in [*kept, printed.out.encode(), printed.err.encode()])


def start(folder: Path, plugin: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "thalweg", "-p", str(plugin), "weights", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "THALWEG_WEIGHTS": str(folder), **environment},
    )


def waited(condition, seconds=60.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_two_processes_download_once(publisher, tmp_path):
    table = {"tiny": entry(publisher, "tiny", {"x.bin": CONTENT}, **KNOWN)}
    plugin = plugin_file(tmp_path, table)
    publisher.gate.clear()
    first = start(tmp_path / "w", plugin, "get", "tiny")
    waited(lambda: publisher.bodies("x.bin"))
    assert locked(tmp_path / "w/tiny/.lock", wait=False) is None
    second = start(tmp_path / "w", plugin, "get", "tiny")
    line = second.stderr.readline()
    assert "another process is fetching the weights 'tiny'; waiting for it" in line
    publisher.gate.set()
    for process in (first, second):
        out, _ = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, f"tiny: {tmp_path}/w/tiny/x.bin\n")
    assert len(publisher.bodies("x.bin")) == 1


@pytest.mark.parametrize(("kind", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75), (signal.SIGKILL, -9)])
def test_stopped_by_a_signal_the_same_command_goes_on(publisher, tmp_path, kind, code):
    table = {"tiny": entry(publisher, "tiny", {"x.bin": CONTENT}, **KNOWN)}
    plugin, path = plugin_file(tmp_path, table), tmp_path / "w/tiny/x.bin"
    part = path.with_name(".x.bin.partial")
    publisher.proxy.spoil(Fault("whole"), Fault("stall"))
    process = start(tmp_path / "w", plugin, "get", "tiny")
    waited(lambda: part.exists() and part.stat().st_size)
    process.send_signal(kind)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert ("the same command resumes" in said) == (kind != signal.SIGKILL)
    assert "Traceback" not in said
    assert not path.exists()
    size = part.stat().st_size
    publisher.proxy.spoil()
    again = start(tmp_path / "w", plugin, "get", "tiny")
    again.communicate(timeout=60)
    assert again.returncode == 0
    assert path.read_bytes() == CONTENT
    assert publisher.bodies("x.bin") == [f"bytes={size}-"]


def test_the_hub_is_asked_through_huggingface_hub_and_its_token_is_nowhere(tmp_path):
    token, content = "hf_averysecrettokenindeed", CONTENT * 4
    file = {"name": "x.bin", "urls": ["hf://ours/encoder/x.bin"]}
    table = {"enc": {"what": "w", "licence": "MIT", "source": "https://example.org", "files": [file]}}
    plugin, path = plugin_file(tmp_path, table), tmp_path / "w/enc/x.bin"
    with hub_stand_in() as stand_in:
        stand_in.accounts[token] = Account("ours", ("ours",))
        stand_in.repository("ours/encoder", {"x.bin": content}, private=True)
        process = start(
            tmp_path / "w",
            plugin,
            "get",
            "enc",
            HF_ENDPOINT=stand_in.url,
            HF_TOKEN=token,
            HF_HOME=str(tmp_path / "hf"),
        )
        out, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert path.read_bytes() == content
    assert ("GET", "/ours/encoder/resolve/main/x.bin", f"Bearer {token}") in stand_in.requests
    assert "hf://ours/encoder/x.bin" in (path.parent / "arrived.json").read_text()
    kept = [one.read_bytes() for one in tmp_path.rglob("*") if one.is_file()]
    assert all(token.encode() not in one for one in [*kept, out.encode(), said.encode()])
