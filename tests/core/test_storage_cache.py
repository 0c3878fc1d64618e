import gc
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from fault_server import Fault, FaultServer, make_bucket, s3_server
from thalweg import ConfigError, DataError, ThalwegError
from thalweg.storage import Cache, Location, default_cache
from thalweg.storage.locks import locked

# botocore's own date handling, on some versions of Python.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utc:DeprecationWarning")

SIZE = 10_000


@pytest.fixture
def source(tmp_path):
    folder = Location(tmp_path / "source")
    folder.makedirs()
    return folder


class Files:
    """Files of equal size at a location, fetched by number."""

    def __init__(self, folder):
        self.folder = folder
        self.contents = [bytes([number]) * SIZE for number in range(6)]
        for number, content in enumerate(self.contents):
            (folder / str(number)).write(content)

    def sha256(self, number):
        return hashlib.sha256(self.contents[number]).hexdigest()

    def fetch(self, cache, number):
        return cache.fetch(self.folder / str(number), sha256=self.sha256(number), size=SIZE)


@pytest.fixture
def files(source):
    return Files(source)


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache", 3 * SIZE)


def held(cache):
    return {path.name for path in cache.folder.iterdir() if len(path.name) == 64}


def temporary(cache):
    return [path.name for path in cache.folder.iterdir() if len(path.name) > 64]


def test_a_file_is_downloaded_once(files, cache):
    path = files.fetch(cache, 0)
    assert path.read_bytes() == files.contents[0]
    (files.folder / "0").remove()
    assert files.fetch(cache, 0) == path
    assert held(cache) == {files.sha256(0)}
    assert temporary(cache) == []


def test_the_least_recently_used_go_first_and_the_limit_holds(files, cache):
    for number in (0, 1, 2):
        files.fetch(cache, number)
        time.sleep(0.01)
    files.fetch(cache, 0)
    time.sleep(0.01)
    gc.collect()
    for number in (3, 4, 5):
        files.fetch(cache, number)
        gc.collect()
        assert sum(path.stat().st_size for path in cache.folder.iterdir()) <= cache.limit_bytes
        if number == 3:
            assert held(cache) == {files.sha256(one) for one in (0, 2, 3)}
        time.sleep(0.01)
    assert held(cache) == {files.sha256(one) for one in (3, 4, 5)}


def test_what_is_in_use_is_never_evicted(files, tmp_path, caplog):
    cache, other = Cache(tmp_path / "cache", SIZE), Cache(tmp_path / "cache", SIZE)
    path = files.fetch(cache, 0)
    assert files.fetch(other, 1).exists()
    assert path.read_bytes() == files.contents[0]
    assert "all of it is in use" in caplog.text
    del path
    gc.collect()
    files.fetch(other, 2)
    gc.collect()
    assert held(cache) == {files.sha256(2)}


def test_what_was_opened_stays_readable(files, cache):
    with files.fetch(cache, 0).open("rb") as opened:
        gc.collect()
        for number in (1, 2, 3):
            files.fetch(cache, number)
        assert files.sha256(0) not in held(cache)
        assert opened.read() == files.contents[0]


@pytest.mark.parametrize("damage", ["flip", "truncate"])
def test_a_damaged_file_is_fetched_anew(files, tmp_path, damage, caplog):
    files.fetch(Cache(tmp_path / "cache", 3 * SIZE), 0)
    path = tmp_path / "cache" / files.sha256(0)
    if damage == "flip":
        path.write_bytes(b"?" + files.contents[0][1:])
    else:
        os.truncate(path, 7)
    fresh = Cache(tmp_path / "cache", 3 * SIZE)  # as another process has it
    assert files.fetch(fresh, 0).read_bytes() == files.contents[0]
    assert "is damaged; fetching it anew" in caplog.text
    assert temporary(fresh) == []


def test_another_file_than_expected_leaves_nothing(files, cache):
    with pytest.raises(DataError, match="damaged or another file"):
        cache.fetch(files.folder / "0", sha256=files.sha256(1), size=SIZE)
    with pytest.raises(DataError, match="where 9 are expected"):
        cache.fetch(files.folder / "0", sha256=files.sha256(0), size=9)
    assert held(cache) == set()
    assert temporary(cache) == []


def test_what_cannot_be_cached(files, cache, tmp_path):
    with pytest.raises(DataError, match="which is none"):
        cache.fetch(files.folder / "0", sha256="../../etc/passwd", size=SIZE)
    with pytest.raises(ConfigError, match="more than the cache may hold"):
        cache.fetch(files.folder / "0", sha256=files.sha256(0), size=4 * SIZE)
    (tmp_path / "file").touch()
    with pytest.raises(ThalwegError, match=r"cache .*file.* cannot be used"):
        files.fetch(Cache(tmp_path / "file", SIZE), 0)
    with pytest.raises(ValueError, match="limit_bytes"):
        Cache(tmp_path, 0)


def test_what_a_killed_process_left_is_cleared(files, cache):
    cache.folder.mkdir()
    for number in (0, 4):
        (cache.folder / f"{files.sha256(number)}.part").write_bytes(b"half")
        (cache.folder / f"{files.sha256(number)}.lock").touch()
    assert files.fetch(cache, 0).read_bytes() == files.contents[0]
    assert temporary(cache) == []


def test_a_download_under_way_counts_and_is_left_alone(files, cache):
    cache.folder.mkdir()
    lock = locked(cache.folder / f"{files.sha256(5)}.lock", create=True)
    part = cache.folder / f"{files.sha256(5)}.part"
    part.write_bytes(bytes(2 * SIZE))
    files.fetch(cache, 0)
    gc.collect()
    files.fetch(cache, 1)
    assert held(cache) == {files.sha256(1)}
    assert part.exists()
    lock.release()


def test_threads_download_a_file_once(files, cache):
    with s3_server() as port, FaultServer(port) as proxy:
        region = {"region_name": "us-east-1"}
        options = {
            "key": "some-key",
            "secret": "some-secret",
            "endpoint_url": proxy.url,
            "client_kwargs": region,
        }
        remote = Files(Location(f"s3://{make_bucket(proxy.url)}", options))
        proxy.spoil()
        found = []
        threads = [threading.Thread(target=lambda: found.append(remote.fetch(cache, 0))) for _ in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert len(found) == 8
        assert found[0].read_bytes() == remote.contents[0]
        assert proxy.count() == 1


def test_default_place(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_cache().folder == tmp_path / "xdg/thalweg"
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert default_cache(7) == Cache(tmp_path / ".cache/thalweg", 7)


FETCH = """
import hashlib, json, sys
from pathlib import Path
from thalweg.storage import Cache, Location
job = json.loads(sys.argv[1])
cache = Cache(Path(job["folder"]), job["limit"])
for _ in range(2):
    for number, sha256 in job["files"]:
        path = cache.fetch(Location(job["url"]) / number, sha256=sha256, size=job["size"])
        assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
"""


def start(cache, files, url, numbers):
    job = {
        "folder": str(cache.folder), "limit": cache.limit_bytes, "url": url, "size": SIZE,
        "files": [[str(number), files.sha256(number)] for number in numbers],
    }  # fmt: skip
    return subprocess.Popen([sys.executable, "-c", FETCH, json.dumps(job)], stderr=subprocess.PIPE)


@pytest.mark.parametrize("limit", [6 * SIZE, 2 * SIZE])
def test_four_processes_fill_one_cache_and_one_is_killed(tmp_path, limit):
    options = {"key": "some-key", "secret": "some-secret", "client_kwargs": {"region_name": "us-east-1"}}
    cache = Cache(tmp_path / "cache", limit)
    with s3_server() as port, FaultServer(port) as proxy, pytest.MonkeyPatch.context() as environment:
        given = {**options, "endpoint_url": proxy.url}
        url = f"s3://{make_bucket(proxy.url)}"
        environment.setenv("THALWEG_STORAGE_OPTIONS", json.dumps({"s3": given}))
        files = Files(Location(url))
        proxy.spoil(Fault("stall", path="/0"))
        orders = [[0, 1, 2, 3, 4, 5], [0, 5, 4, 3, 2, 1], [1, 0, 3, 2, 5, 4], [5, 4, 0, 1, 2, 3]]
        first = start(cache, files, url, orders[0])
        deadline = time.monotonic() + 30
        while not proxy.count(path="/0") and time.monotonic() < deadline:
            time.sleep(0.01)
        others = [start(cache, files, url, order) for order in orders[1:]]
        # It holds the lock of the first file and waits for the rest of it; so do two of the others.
        assert (cache.folder / f"{files.sha256(0)}.part").exists()
        first.send_signal(signal.SIGKILL)
        first.communicate(timeout=30)
        for one in others:
            _, said = one.communicate(timeout=60)
            assert one.returncode == 0, said.decode()
        if limit == 6 * SIZE:
            assert proxy.count(path="/0") == 2
            assert all(proxy.count(path=f"/{number}") == 1 for number in range(1, 6))
        fresh = Cache(cache.folder, limit)
        for number in range(6):
            assert files.fetch(fresh, number).read_bytes() == files.contents[number]
            gc.collect()
        # While all was in use, it may have grown beyond its limit; the next download puts that right.
        (cache.folder / files.sha256(0)).unlink(missing_ok=True)
        files.fetch(fresh, 0)
        assert temporary(cache) == []
        assert sum(path.stat().st_size for path in cache.folder.iterdir()) <= limit


def test_what_is_kept_by_a_key_is_made_once_and_makes_room_like_the_rest(cache, files):
    made = []

    def make(file):
        made.append(file.name)
        file.write(b"x" * SIZE)

    first = cache.keep("one", make, what="one")
    assert first.read_bytes() == b"x" * SIZE
    assert cache.keep("one", make, what="one", size=SIZE) == first
    assert len(made) == 1
    second = cache.keep("two", make, what="two", size=SIZE)
    assert (second != first, len(made)) == (True, 2)
    del first
    gc.collect()
    files.fetch(cache, 0)
    files.fetch(cache, 1)
    assert len(held(cache)) == 3
    assert second.name in held(cache)  # it is in use
    cache.keep("one", make, what="one")
    assert len(made) == 3


@pytest.mark.parametrize("size", [None, 4 * SIZE])
def test_what_is_larger_than_the_limit_or_fails_is_not_kept(cache, size):
    with pytest.raises(ConfigError, match=r"a shard has 40,000 bytes, more than the cache may hold"):
        cache.keep("one", lambda file: file.write(b"x" * 4 * SIZE), what="a shard", size=size)

    def fail(file):
        file.write(b"half")
        raise DataError("it broke off")

    with pytest.raises(DataError, match="it broke off"):
        cache.keep("one", fail, what="a shard")
    assert not held(cache)
    assert not list(cache.folder.glob("*.part"))
    assert cache.keep("one", lambda file: file.write(b"whole"), what="a shard").read_bytes() == b"whole"
