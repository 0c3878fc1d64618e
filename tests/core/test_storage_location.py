import errno
import functools
import http.server
import io
import os
import pickle
import threading
from pathlib import Path

import pytest

from fault_server import Fault, FaultServer
from thalweg import ConfigError, DataError, ThalwegError
from thalweg.storage import Location, MissingError
from thalweg.storage import retrying as module

SHA = {"hello": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def waits(monkeypatch):
    waited = []
    monkeypatch.setattr(module, "sleep", waited.append)
    return waited


@pytest.fixture
def web(tmp_path):
    """A plain web server, which knows no ranges, behind the proxy."""
    folder = tmp_path / "web"
    (folder / "in ner").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"hello")
    (folder / "in ner/b c.txt").write_bytes(b"there")
    (folder / "empty").write_bytes(b"")
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    with FaultServer(server.server_port) as proxy:
        yield proxy
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(params=["path", "file", "memory"])
def folder(request, tmp_path):
    url = {"path": str(tmp_path), "file": tmp_path.as_uri(), "memory": f"memory://{tmp_path.name}"}[
        request.param
    ]
    yield Location(url) / "some" / "place"
    Location(url).remove()


def test_a_writable_place(folder, tmp_path):
    assert not folder.exists()
    (folder / "b.TXT").write(b"hello")
    (folder / "deep/c.png").write(b"png")
    (folder / "a.txt").write(b"")
    assert folder.exists()
    assert folder.is_dir()
    assert not (folder / "b.TXT").is_dir()
    assert folder.children() == ["a.txt", "b.TXT", "deep"]
    assert [one.relative(folder) for one in folder.find()] == ["a.txt", "b.TXT", "deep/c.png"]
    assert [one.name for one in folder.find((".txt",))] == ["a.txt", "b.TXT"]
    file = folder / "b.TXT"
    assert (file.name, file.suffix, file.size(), file.read()) == ("b.TXT", ".TXT", 5, b"hello")
    assert (folder / "a.txt").read() == b""
    (tmp_path / "up").write_bytes(b"uploaded")
    file.upload(tmp_path / "up")
    assert file.read() == b"uploaded"
    (folder / "deep").remove()
    (folder / "deep").remove()
    assert folder.children() == ["a.txt", "b.TXT"]
    file.remove()
    assert not file.exists()


def test_ranges(folder):
    file = folder / "x"
    file.write(bytes(range(100)))
    assert file.read(3, 7) == bytes(range(3, 7))
    assert file.read(90) == bytes(range(90, 100))
    assert file.read(stop=4) == bytes(range(4))
    assert file.read(50, 50) == b""
    with pytest.raises(DataError, match="has only 100 bytes, up to 101 were requested"):
        file.read(0, 101)
    with pytest.raises(ValueError, match="no range"):
        file.read(5, 4)


def test_versions_change_with_the_file(folder):
    file = folder / "x"
    file.write(b"one")
    version = file.version()
    assert version == file.version()
    assert file.read(0, 2, version=version) == b"on"
    file.write(b"two")
    assert file.version() != version
    with pytest.raises(DataError, match="was replaced while it was read"):
        file.read(0, 2, version=version)


@pytest.mark.parametrize("size", [10, 20 << 20])
def test_a_file_replaced_while_it_is_read(waits, size):
    file = Location("memory://replaced/x")
    file.write(bytes(size))

    class Replacing(io.BytesIO):
        name, mode = "copy", "wb"

        def write(self, piece):
            file.write(bytes([1]) * size)
            return super().write(piece)

    with pytest.raises(DataError, match="was replaced while it was read"):
        file.copy_into(Replacing(), size=size)
    file.remove()


def test_what_is_missing_is_said_at_once(folder, waits):
    for call in [folder.read, folder.children, folder.find, folder.size, folder.version]:
        with pytest.raises(MissingError, match="does not exist"):
            call()
    assert not folder.is_dir()
    assert waits == []


def test_a_folder_is_no_file(folder):
    (folder / "x").write(b"1")
    with pytest.raises(DataError, match="is a folder"):
        folder.size()
    with pytest.raises(DataError):
        folder.read()


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "", "a//b", "a\0b"])
def test_names_stay_within_their_folder(folder, name):
    with pytest.raises(DataError, match="names nothing within"):
        folder / name


def test_local_paths(tmp_path):
    location = Location(tmp_path) / "a b.txt"
    assert location.local == tmp_path / "a b.txt"
    assert Location((tmp_path / "a b.txt").as_uri()) == location
    assert str(location) == str(tmp_path / "a b.txt")
    assert Location("s3://b/x").local is None
    with pytest.raises(DataError, match="is not in"):
        location.relative(Location("s3://b"))


def test_linked_folders_are_followed_under_each_name_and_never_round(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/x").touch()
    data = tmp_path / "data"
    data.mkdir()
    for name in ("one", "two"):
        (data / name).symlink_to(tmp_path / "real")
    assert [one.relative(Location(data)) for one in Location(data).find()] == ["one/x", "two/x"]
    (tmp_path / "real/loop").symlink_to(tmp_path / "real")
    with pytest.raises(DataError, match="loop is a link to a folder that contains it"):
        Location(data).find()
    found = Location(data).find(closed=lambda name: name == "loop")
    assert [one.relative(Location(data)) for one in found] == ["one/loop", "one/x", "two/loop", "two/x"]
    (tmp_path / "real/loop").unlink()
    (tmp_path / "real/loop").symlink_to("loop")
    with pytest.raises(DataError, match="loop is a link that leads nowhere"):
        Location(data).find()


def test_a_closed_folder_need_not_be_readable(tmp_path, monkeypatch):
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "x").touch()
    scan = os.scandir

    def refused(folder):
        if str(folder).endswith("lost+found"):
            raise PermissionError(errno.EACCES, "denied", str(folder))
        return scan(folder)

    monkeypatch.setattr("thalweg.storage.stores.local.os.scandir", refused)
    with pytest.raises(DataError, match="may not be accessed"):
        Location(tmp_path).find()
    found = Location(tmp_path).find(closed=lambda name: name == "lost+found")
    assert [one.name for one in found] == ["lost+found", "x"]


def test_the_home_folder_is_written_out(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Location("~/x").local == tmp_path / "x"
    assert Location(Path("~")).local == tmp_path
    assert Location("~nobody-of-this-name/x").local == Path("~nobody-of-this-name/x")
    assert Location("x/~/y").local == Path("x/~/y")
    assert (Location(tmp_path) / "~").local == tmp_path / "~"


@pytest.mark.parametrize("name", ["a*", "a?", "[a]b", "ab?token=x"])
def test_a_name_is_no_pattern(tmp_path, name):
    root = Location(f"memory://{tmp_path.name}")
    for other in ("ab", "abc"):
        (root / other / "x").write(b"kept")
    for place in ("x", "deep/er/y"):
        (root / name / place).write(b"gone")
    (root / name).remove()
    assert not (root / name).exists()
    assert sorted(root.children()) == ["ab", "abc"]
    (root / "ab" / name).write(b"gone")
    (root / "ab" / name).remove()
    assert [(root / other / "x").read() for other in ("ab", "abc")] == [b"kept"] * 2
    (root / name).remove()  # of what is not there, nothing
    root.remove()


def test_removing_a_link_leaves_what_it_leads_to(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/x").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (Location(tmp_path) / "link").remove()
    assert (tmp_path / "real/x").exists()
    assert not (tmp_path / "link").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    try:
        for call in [
            lambda one: one.write(b""),
            lambda one: one.makedirs(),
            lambda one: one.upload(tmp_path),
        ]:
            with pytest.raises(ThalwegError, match="cannot be written"):
                call(Location(tmp_path) / "x" / "y")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("size", [None, 5])
def test_download_is_verified(tmp_path, folder, size):
    file = folder / "x"
    file.write(b"hello")
    file.download(tmp_path / "new/x", sha256=SHA["hello"].upper(), size=size)
    assert (tmp_path / "new/x").read_bytes() == b"hello"
    for demand, says in [
        ({"sha256": "0" * 64}, "damaged or another file"),
        ({"size": 4}, "has 5 bytes where 4 are expected"),
    ]:
        with pytest.raises(DataError, match=says):
            file.download(tmp_path / "new/x", **demand)
        with pytest.raises(DataError, match=says):
            file.download(tmp_path / "new/y", **demand)
    assert (tmp_path / "new/x").read_bytes() == b"hello"
    assert [one.name for one in (tmp_path / "new").iterdir()] == ["x"]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "is empty"),
        ("a\0b", "zero byte"),
        ("file://data/x", "three slashes"),
        ("s3://", "names no bucket"),
        ("https:///x", "names no host"),
        ("s3://key:sec/ret@bucket", "write a slash as %2F"),
        ("s3://***@bucket/x", "without its credentials"),
        ("https://h/x?sig=***", "without its credentials"),
        ("simplecache::s3://b/x", "chained"),
    ],
)
def test_urls_that_cannot_be_meant(url, says):
    with pytest.raises(ConfigError, match=says) as failure:
        Location(url)
    assert "ret@" not in str(failure.value)


def test_unknown_protocol_and_missing_package(monkeypatch):
    with pytest.raises(ConfigError, match=r"carrier://.*take a path, file://"):
        Location("carrier://pigeon/x").read()
    import fsspec

    def missing(protocol):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "get_filesystem_class", missing)
    for scheme, extra in [("s3", "s3"), ("gs", "gcs"), ("https", "http")]:
        with pytest.raises(ConfigError, match=rf"pip install 'thalweg-core\[{extra}\]'"):
            Location(f"{scheme}://place/x", {"timeout": 77}).read()


@pytest.mark.parametrize("timeout", [0, -1, "5", True])
def test_bad_timeout(timeout):
    with pytest.raises(ConfigError, match="'timeout' must be a number of seconds above 0"):
        Location("s3://bucket/x", {"timeout": timeout}).read()


def test_the_environment_has_options(monkeypatch):
    monkeypatch.setenv(
        "THALWEG_STORAGE_OPTIONS",
        '{"s3": {"key": "of-environment-1", "client_kwargs": {"a": 1, "region_name": "one"}}}',
    )
    assert Location("s3://b/x")._options == {
        "key": "of-environment-1", "client_kwargs": {"a": 1, "region_name": "one"},
    }  # fmt: skip
    assert Location("gs://b/x")._options == {}
    given = Location("s3://b/x", {"client_kwargs": {"region_name": "two"}})
    assert given._options == {"key": "of-environment-1", "client_kwargs": {"a": 1, "region_name": "two"}}
    assert (
        Location("s3://url-key:url%2Fsecret@b/x", {"key": "of-argument-1"})._options["key"] == "of-argument-1"
    )
    assert Location("s3://url-key:url%2Fsecret@b/x")._options["secret"] == "url/secret"
    for wrong in ["{", "[1]", '{"s3": "sesame-open"}']:
        monkeypatch.setenv("THALWEG_STORAGE_OPTIONS", wrong)
        with pytest.raises(ConfigError, match="must be JSON") as failure:
            Location("s3://b/x")
        assert "sesame" not in str(failure.value)


def test_locations_can_be_sent_to_other_processes():
    location = Location("s3://b/x", {"key": "some-secret-key"}) / "y"
    back = pickle.loads(pickle.dumps(location))
    assert back == location
    assert hash(back) == hash(location)
    assert back._options == location._options
    assert location != Location("s3://b/x/y", {"key": "another-secret"})


def test_web_server(web, tmp_path):
    root = Location(web.url)
    file = root / "a.txt"
    assert (file.read(), file.size(), file.exists(), file.is_dir()) == (b"hello", 5, True, False)
    assert file.read(1, 3) == b"el"  # of an answer with everything
    assert file.version() == file.version() != ""
    assert (root / "empty").read() == b""
    assert (root / "empty").size() == 0
    assert not (root / "none.txt").exists()
    assert root.is_dir()
    assert root.children() == ["a.txt", "empty", "in ner"]
    assert [one.read() for one in root.find((".txt",))] == [b"hello", b"there"]
    file.download(tmp_path / "a", sha256=SHA["hello"], size=5)
    for call in [lambda: file.write(b""), lambda: file.upload(tmp_path / "a"), file.remove, root.makedirs]:
        with pytest.raises(ConfigError, match="web servers are only read from"):
            call()


def test_web_server_with_faults(web, waits, tmp_path):
    file = Location(f"{web.url}/a.txt", {"timeout": 0.3})
    web.spoil(Fault(503), Fault("cut"), Fault("silent"), Fault("stall"))
    assert file.read() == b"hello"
    assert web.count() == 5
    for status, says in [
        (404, "does not exist"),
        (403, r"may not be accessed \(403\)"),
        (400, "answered 400"),
    ]:
        waits.clear()
        web.spoil(Fault(status))
        with pytest.raises(DataError, match=says):
            file.read()
        assert web.count() == 1
        assert waits == []


def test_web_user_info_becomes_a_header(web):
    web.spoil()
    host = web.url.removeprefix("http://")
    location = Location(f"http://ada:love%2Flace@{host}/a.txt?sig=0123456789")
    assert str(location) == f"http://{host}/a.txt?sig=***"
    assert location.read() == b"hello"
    assert web.requests[0].path == "/a.txt?sig=0123456789"
    assert "Basic " in location._options["headers"]["Authorization"]


def test_queries_stay_with_what_lies_below():
    assert (
        Location("https://h/folder?sas=0123456789") / "x"
    )._address.url == "https://h/folder/x?sas=0123456789"
