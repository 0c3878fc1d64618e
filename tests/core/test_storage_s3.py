import hashlib
import os
import threading
import time
from pathlib import Path

import pytest

from fault_server import Fault, FaultServer, make_bucket, s3_server
from thalweg import ConfigError, DataError, ThalwegError
from thalweg.storage import Location, MissingError
from thalweg.storage import retrying as module

# botocore's own date handling, on some versions of Python.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utc:DeprecationWarning")

CONTENT = os.urandom(5 << 20)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SECRET = "Sesame/open+now=42"


@pytest.fixture(scope="module")
def proxy():
    with s3_server() as port, FaultServer(port) as server:
        yield server


@pytest.fixture
def waits(monkeypatch):
    waited = []
    monkeypatch.setattr(module, "sleep", waited.append)
    return waited


def options(proxy, timeout=5):
    region = {"region_name": "us-east-1"}
    return {
        "key": "AKIATESTTEST", "secret": SECRET, "endpoint_url": proxy.url, "client_kwargs": region,
        "timeout": timeout,
    }  # fmt: skip


@pytest.fixture
def bucket(proxy):
    proxy.spoil()
    return Location(f"s3://{make_bucket(proxy.url)}", options(proxy))


@pytest.fixture
def stored(bucket, proxy):
    file = bucket / "folder" / "x.bin"
    file.write(CONTENT)
    proxy.spoil()
    return file


def test_an_object_store_is_a_place_like_others(bucket, tmp_path):
    folder = bucket / "a folder"
    assert not folder.exists()
    assert not folder.is_dir()
    folder.makedirs()
    (folder / "b.TXT").write(b"hello")
    (folder / "deep/c.png").write(b"")
    assert bucket.is_dir()
    assert folder.exists()
    assert folder.is_dir()
    assert folder.children() == ["b.TXT", "deep"]
    assert [one.relative(bucket) for one in folder.find()] == ["a folder/b.TXT", "a folder/deep/c.png"]
    assert [one.read() for one in folder.find((".txt",))] == [b"hello"]
    assert (folder / "deep/c.png").read() == b""
    assert (folder / "b.TXT").size() == 5
    (tmp_path / "up").write_bytes(b"uploaded")
    version = (folder / "b.TXT").version()
    (folder / "b.TXT").upload(tmp_path / "up")
    assert (folder / "b.TXT").version() != version
    assert (folder / "b.TXT").read(2, 5) == b"loa"
    (folder / "deep").remove()
    (folder / "deep").remove()
    assert folder.children() == ["b.TXT"]
    for missing in [bucket / "no", bucket / "no" / "thing"]:
        for call in [missing.read, missing.children, missing.find, missing.size]:
            with pytest.raises(MissingError, match="does not exist"):
                call()
    with pytest.raises(DataError, match="is a folder"):
        folder.size()


def test_credentials_in_the_url(stored, proxy):
    given = options(proxy)
    del given["key"], given["secret"]
    bucket = stored._address.path.partition("/")[0]
    location = Location(f"s3://AKIATESTTEST:Sesame%2Fopen%2Bnow%3D42@{bucket}/folder/x.bin", given)
    assert location.read(0, 9) == CONTENT[:9]
    assert location._options["secret"] == SECRET
    assert str(location) == f"s3://{bucket}/folder/x.bin"


@pytest.mark.parametrize("mode", [500, 503, 429, "cut", "silent", "stall", "shifted", "whole"])
def test_a_fault_is_survived(stored, proxy, waits, mode, tmp_path):
    file = Location(f"s3://{stored._address.path}", options(proxy, timeout=0.3))
    proxy.spoil(Fault(mode, times=2))
    assert file.read(100, 3 << 20) == CONTENT[100 : 3 << 20]
    proxy.spoil(Fault(mode, times=2))
    file.download(tmp_path / "x", sha256=SHA256, size=len(CONTENT))
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [tmp_path / "x"]


def test_all_faults_one_after_another(stored, proxy, waits, tmp_path, caplog):
    # Long enough for a busy machine not to be taken for a silent server.
    file = Location(f"s3://{stored._address.path}", options(proxy, timeout=1.5))
    proxy.spoil(Fault(500), Fault("cut"), Fault("shifted"), Fault("silent"), Fault("stall"), Fault(503))
    file.download(tmp_path / "x", sha256=SHA256, size=len(CONTENT))
    # What has arrived is not requested again.
    starts = [
        int(one.range.removeprefix("bytes=").partition("-")[0]) if one.range else 0 for one in proxy.requests
    ]
    assert starts == sorted(starts)
    assert starts[2] >= 1 << 20  # half of it was sent; what a reset connection had not read yet is lost
    assert len(caplog.records) == 1  # it is said once
    assert "x.bin: the server answered 500" in caplog.records[0].getMessage()


def test_it_is_given_up_in_the_end(stored, proxy, waits):
    proxy.spoil(Fault(503, times=-1))
    with pytest.raises(
        DataError, match=rf"x\.bin: the server answered 503.* \(tried {module.ATTEMPTS} times\)"
    ):
        stored.read()
    assert proxy.count("x.bin") == module.ATTEMPTS
    assert len(waits) == module.ATTEMPTS - 1
    assert all(later > earlier for earlier, later in zip(waits[:5], waits[2:7], strict=True))
    assert all(0.25 <= one <= 30 for one in waits)


def test_a_server_that_answers_wrongly_for_ever(stored, proxy, waits):
    proxy.spoil(Fault("shifted", times=-1))
    with pytest.raises(DataError, match="another range"):
        stored.read(10, 20)
    proxy.spoil(Fault("silent", times=-1))
    file = Location(f"s3://{stored._address.path}", options(proxy, timeout=0.05))
    with pytest.raises(DataError, match="went silent"):
        file.read()
    assert proxy.count("x.bin") == module.ATTEMPTS


def test_processes_come_back_at_different_times(monkeypatch):
    pauses = []
    for process in (1, 2, 3):
        monkeypatch.setattr(os, "getpid", lambda process=process: process)
        pauses.append(module.pause("s3://b/x", 3))
        assert pauses[-1] == module.pause("s3://b/x", 3)
    assert len(set(pauses)) == 3


@pytest.mark.parametrize(
    ("status", "says"),
    [(403, r"may not be accessed \(403\); check the credentials"), (401, "may not be accessed"),
     (404, "does not exist"), (400, "the server answered 400")],
)  # fmt: skip
def test_what_trying_cannot_cure_is_said_at_once(stored, proxy, waits, status, says, tmp_path):
    proxy.spoil(Fault(status, times=-1), Fault(status, times=-1, method="HEAD"))
    for call in [stored.read, stored.version, lambda: stored.download(tmp_path / "x")]:
        with pytest.raises(DataError, match=says):
            call()
    assert proxy.count("/folder/x.bin") == 2
    assert proxy.count("/folder/x.bin", "HEAD") == 1
    assert waits == []
    assert list(tmp_path.iterdir()) == []


def test_listings_and_writes_are_tried_again(stored, proxy, waits, bucket):
    proxy.spoil(Fault(503), Fault(500, method="HEAD"), Fault(503, method="PUT"), Fault(503, method="POST"))
    assert (bucket / "folder").children() == ["x.bin"]
    assert stored.size() == len(CONTENT)
    (bucket / "y").write(b"new")
    (bucket / "y").remove()
    assert not (bucket / "y").exists()
    assert len(waits) >= 3


def test_an_object_replaced_in_the_middle(stored, proxy, waits, tmp_path):
    replaced = []

    def replace():
        if not replaced:
            replaced.append(stored.write(CONTENT[::-1]))

    proxy.spoil(Fault("cut", after=replace))
    with pytest.raises(DataError, match=r"x\.bin was replaced while it was read"):
        stored.download(tmp_path / "x", size=len(CONTENT))
    assert list(tmp_path.iterdir()) == []
    assert stored.read() == CONTENT[::-1]


def test_an_object_replaced_between_two_reads(stored):
    version = stored.version()
    assert stored.read(0, 10, version=version) == CONTENT[:10]
    stored.write(CONTENT[1:])
    with pytest.raises(DataError, match="was replaced"):
        stored.read(10, 20, version=version)


def test_another_object_than_expected(stored, tmp_path, waits, proxy):
    for demand, says in [({"sha256": "0" * 64}, "damaged or another"), ({"size": 7}, "where 7 are expected")]:
        with pytest.raises(DataError, match=says):
            stored.download(tmp_path / "x", **demand)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError, match="has only"):
        stored.read(0, len(CONTENT) + 1)
    with pytest.raises(DataError, match="416"):
        stored.read(len(CONTENT) + 1)
    assert waits == []


def test_a_full_disk_ends_a_download(stored, waits, proxy):
    with (
        Path("/dev/full").open("wb", buffering=0) as full,
        pytest.raises(ThalwegError, match="No space left"),
    ):
        stored.copy_into(full)
    assert proxy.count("x.bin") == 1
    assert waits == []


def test_no_credentials(bucket, proxy, monkeypatch, waits):
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", "/nowhere")
    given = options(proxy)
    monkeypatch.setenv("AWS_ENDPOINT_URL", given["endpoint_url"])
    del given["key"], given["secret"]
    with pytest.raises(DataError, match=r"needs credentials.*anon = true"):
        Location(str(bucket), given).exists()
    assert waits == []
    with pytest.raises(ConfigError, match="'max_concurrency' of s3:// has a value that is not taken"):
        Location(str(bucket), {**options(proxy), "max_concurrency": -1})


def test_no_server(waits):
    file = Location(
        "s3://bucket/x", {"key": "some-key", "secret": SECRET, "endpoint_url": "http://127.0.0.1:9"}
    )
    with pytest.raises(DataError, match="tried 8 times"):
        file.read()


def test_threads_share_a_connection(stored):
    found = {}

    def read(start):
        found[start] = stored.read(start, start + 1000)

    threads = [threading.Thread(target=read, args=(start,)) for start in range(0, 16000, 1000)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert found == {start: CONTENT[start : start + 1000] for start in range(0, 16000, 1000)}


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # that is the test
def test_a_forked_process_reads_on(stored):
    assert stored.read(0, 10) == CONTENT[:10]
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if stored.read(10, 20) == CONTENT[10:20] else 1)
        finally:
            os._exit(2)
    ends = time.monotonic() + 20
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < ends:
        time.sleep(0.01)
    if ended == (0, 0):
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert ended == (child, 0)
    assert stored.read(20, 30) == CONTENT[20:30]
