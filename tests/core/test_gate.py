"""What a run, a model or a recipe may name, and who gets the secrets of the user's environment."""

import base64
import http.server
import json
import os
import threading

import pytest

from thalweg import ConfigError, DataError
from thalweg.storage import Location
from thalweg.storage.stores.filesystems import filesystem

SECRET = "Sesame-open-42"


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("AWS_", "FSSPEC_", "THALWEG_STORAGE")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    "url",
    [
        *("zip://x", "tar://x", "libarchive://x", "reference://x", "simplecache://x", "filecache://x"),
        *("blockcache://x", "cached://x", "dir://x", "generic://x", "git://x", "github://a:b@c/x"),
        *(
            "asynclocal://x",
            "async_wrapper://x",
            "arrow_hdfs://h/x",
            "data://text,x",
            "ftp://h/x",
            "sftp://h/x",
        ),
        *(
            "ssh://h/x",
            "smb://h/x",
            "webhdfs://h/x",
            "abfs://c/x",
            "dask://x",
            "jupyter://h/x",
            "carrier://p",
        ),
        *("ZIP://x", "Reference://x", "python://x", "file+zip://x", "javascript://x"),
    ],
)
def test_protocols_are_taken_by_name_alone(url):
    with pytest.raises(
        ConfigError, match=r":// is no storage that is taken; take a path, file://, memory://"
    ):
        Location(url)


@pytest.mark.parametrize(
    "url",
    [
        *("simplecache::s3://b/x", "zip::file:///etc/passwd", "zip://x::file:///etc/passwd"),
        *("s3://b/x.zip::simplecache://y", "https://h/x::zip://a", "file:///x::reference://y"),
        "reference::memory://x",
    ],
)
def test_nothing_is_chained(url):
    with pytest.raises(ConfigError, match=r"chained|no storage that is taken"):
        Location(url)


@pytest.mark.parametrize(
    "url",
    [
        *("https://good.example\\@evil.example/x", "https://good.example%2f@evil.example\\/x"),
        *("https://good.example evil/x", "https://gооd.example/x", "https://a..b\\c/x", "https://[::1/x"),
        *("http://h:port/x", "http://h:99999999/x", "https://-h/x", "https://h./x"),
    ],
)
def test_hosts_that_others_might_read_otherwise(url):
    with pytest.raises(ConfigError, match="names no host that is taken"):
        Location(url)


@pytest.mark.parametrize("url", ["https://h/x\r\nX-A: b", "s3://b/x\x1b[2J", "https://h/\x7f"])
def test_control_characters(url):
    with pytest.raises(ConfigError, match="control character") as failure:
        Location(url)
    assert str(failure.value).isprintable()


PATHS = ["/etc/passwd", "~/.ssh/id_rsa", "token.json", "../x", "file:///etc/passwd"]
HOSTILE = [
    *[("s3", {name: value}) for name, value in {
        "fo": "/any/file", "mode": "w", "cache_storage": "/tmp", "same_names": True,
        "target_protocol": "file",
        "target_options": {}, "fs": {"protocol": "zip"}, "profile": "default", "session": "x", "client": "x",
        "use_ssl": False, "requester_pays": True, "username": "a", "password": "b", "asynchronous": True,
        "loop": None, "skip_instance_cache": False, "use_listings_cache": True, "py": "x", "cls": "os.system",
        "verify": "/tmp/ca.pem", "ACL": "public-read", "expand": True, "": "x", "Key": "x",
    }.items()],
    *[("s3", {"client_kwargs": one}) for one in (
        {"verify": "/tmp/ca.pem"}, {"verify": False}, {"endpoint_url": "http://evil.example"}, {"config": {}},
        {"aws_access_key_id": "x"}, {"region_name": "evil.example/"}, {"region_name": "x#"},
        {"use_ssl": False},
        {"api_version": "../../x"}, "x", ["x"], {"service_name": "ec2"}, {"region_name": 3},
    )],
    *[("s3", {"config_kwargs": one}) for one in (
        {"proxies": {"https": "http://evil.example"}}, {"proxies_config": {}}, {"client_cert": "/x"},
        {"user_agent": "x"}, {"s3": {"addressing_style": "evil"}}, {"s3": {"unknown": 1}}, {"s3": "x"},
        {"endpoint_url": "x"}, {"inject_host_prefix": True}, {"signature_version": "bearer"},
        {"max_pool_connections": 10**9}, {"read_timeout": float("nan")}, {"retries": {"max_attempts": 10**9}},
    )],
    *[("s3", {"endpoint_url": one, "anon": True}) for one in (
        "evil", "file:///etc", "ftp://h", "http://", "http://a:b@h", "http://h?x", "http://h#x", "http://h\\@g",
        "http://h\n", "unix:///var/run/docker.sock", 3, None, ["http://h"], {"url": "http://h"},
    )],
    *[("s3", {"max_concurrency": one}) for one in (0, -1, 10**9, 1.5, True, "8", float("nan"))],
    *[("s3", {"key": one}) for one in (3, ["x"], {"a": "b"}, "x\n", "x" * 10**6, None, True)],
    *[("gs", {"token": one}) for one in (
        *PATHS, "cloud", "browser", "cache", "google_default", {"type": "service_account"}, True,
        "ya29./../x",
    )],
    *[("gs", {name: value}) for name, value in {
        "session_kwargs": {"trust_env": True}, "requester_pays": "my-project", "check_connection": True,
        "cache_timeout": 1, "secure_serialize": False, "endpoint_url": "file:///x", "project": "../x",
    }.items()],
    *[("https", {name: value}) for name, value in {
        "client_kwargs": {"auth": "x"}, "get_client": "os.system", "proxy": "http://evil.example",
        "ssl": False,
        "cache_options": {}, "cache_type": "x", "auth": ["a", "b"], "cookies": {}, "trust_env": True,
        "allow_redirects": True, "params": {}, "block_size": 10**12, "loop": 1, "json": {}, "fo": "x",
    }.items()],
    *[("http", {"headers": one}) for one in (
        {"Host": "internal"}, {"A\r\nB": "x"}, {"A": "x\r\nB: y"}, {"A": 3}, {"A": ["x"]}, ["A"], "A: x",
        {"Proxy-Authorization": "x"}, {"Transfer-Encoding": "chunked"}, {"Range": "bytes=0-"}, {3: "x"},
    )],
    *[("hf", {name: value}) for name, value in {
        "endpoint": "https://evil.example", "token": "/etc/passwd", "revision": "x", "use_xet": True,
    }.items()],
    *[(scheme, {"timeout": one}) for scheme in ("s3", "gs", "http", "hf") for one in (
        0, -1, True, "5", float("nan"), float("inf"), 10**9, None, [5],
    )],
]  # fmt: skip


@pytest.mark.parametrize(("scheme", "options"), HOSTILE, ids=str)
def test_options_are_taken_by_name_and_value_alone(scheme, options):
    with pytest.raises(ConfigError, match=r"storage option '.*(not taken|must be)") as failure:
        Location(f"{scheme}://place/x", options)
    said = str(failure.value)
    name = next(iter(options))
    assert f"'{name}" in said
    assert "\n" not in said
    assert len(said) < 700


@pytest.mark.parametrize(
    ("url", "options"),
    [
        (
            "s3://b/x",
            {"anon": True, "timeout": 5, "version_aware": True, "endpoint_url": "https://minio:9000"},
        ),
        (
            "s3://b/x",
            {"key": "k", "secret": "s", "token": "t", "client_kwargs": {"region_name": "eu-west-1"}},
        ),
        ("s3://b/x", {"config_kwargs": {"s3": {"addressing_style": "path"}, "signature_version": "s3v4"}}),
        ("gs://b/x", {"token": "anon", "project": "my-project", "endpoint_url": "http://127.0.0.1:4443"}),
        ("gs://b/x", {"token": "ya29.a0Af_B-y"}),
        ("https://h:8443/x", {"headers": {"Authorization": "Bearer x", "X-Api-Key": "y"}, "encoded": True}),
        ("http://[::1]:80/x", {"timeout": 0.5}),
        ("hf://datasets/a/b/x", {"token": "hf_abcDEF1234"}),
        ("hf://datasets/a/b/x", {"token": False}),
    ],
)
def test_what_is_taken(url, options):
    location = Location(url, options)
    assert all(location._options[name] == value for name, value in options.items())


def test_options_beside_a_path_are_for_other_places_and_reach_nothing(tmp_path):
    file = tmp_path / "kept"
    file.write_text("kept")
    for url in (str(file), file.as_uri(), "memory://gate/x"):
        location = Location(url, {"fo": str(file), "mode": "w", "secret": SECRET})
        assert location._options == {}
    assert Location(file, {"fo": str(file), "mode": "w"}).read() == b"kept"


def test_a_user_adds_protocols_by_name(monkeypatch):
    monkeypatch.setenv("THALWEG_STORAGE_PROTOCOLS", " ftp, SFTP ")
    monkeypatch.setenv("THALWEG_STORAGE_OPTIONS", json.dumps({"ftp://host:2121": {"username": "ada"}}))
    assert Location("ftp://host:2121/x", {"timeout": 5})._options == {"username": "ada", "timeout": 5}
    assert Location("ftp://other/x")._options == {}
    with pytest.raises(ConfigError, match="takes no storage option but timeout from a configuration"):
        Location("ftp://host/x", {"username": "ada"})
    with pytest.raises(ConfigError, match="abfs:// is no storage"):
        Location("abfs://c/x")
    for name in ("zip", "reference", "simplecache", "dir", "a b", "generic", "../x"):
        monkeypatch.setenv("THALWEG_STORAGE_PROTOCOLS", name)
        with pytest.raises(ConfigError, match="no protocol that can be added"):
            Location("ftp://host/x")


@pytest.mark.parametrize(
    "told",
    [
        {"https": {"headers": {"Authorization": SECRET}}},
        {"http": {"proxy": "http://p"}},
        {"https": {"ssl": False}},
        {"ftp": {"password": SECRET}},
        {"https://": {"headers": {}}},
        {"https://h/path": {"headers": {}}},
        {"zip": {"fo": "x"}},
        {"https://h": {"client_kwargs": {"headers": {"Authorization": SECRET}}}},
        {"https://h": {"trust_env": True}},
        {"s3": {"timeout": -1}},
    ],
    ids=str,
)
def test_the_environment_binds_its_secrets(monkeypatch, told):
    monkeypatch.setenv("THALWEG_STORAGE_PROTOCOLS", "ftp")
    monkeypatch.setenv("THALWEG_STORAGE_OPTIONS", json.dumps(told))
    with pytest.raises(ConfigError) as failure:
        Location("https://h/x")
    assert SECRET not in str(failure.value)
    assert "THALWEG_STORAGE_OPTIONS" in str(failure.value) or "storage option" in str(failure.value)


def test_headers_are_for_their_own_scheme_host_and_port(monkeypatch):
    header = {"headers": {"Authorization": SECRET}}
    monkeypatch.setenv(
        "THALWEG_STORAGE_OPTIONS", json.dumps({"HTTPS://Data.Example": header, "http://h:8080/": header})
    )
    for url in ("https://data.example/x", "https://DATA.example:443/y", "http://h:8080/z"):
        assert Location(url)._options == header
    for url in (
        *("http://data.example/x", "https://data.example:444/x", "https://evil.example/x"),
        *("https://data.example.evil.example/x", "https://h:8080/z", "http://h/z", "http://h:80/z"),
    ):
        assert Location(url)._options == {}
    assert "headers" in Location("https://u:p@evil.example/x")._options
    assert Location("https://data.example/x", {"headers": {"A": "b"}})._options["headers"] == {
        "Authorization": SECRET, "A": "b",
    }  # fmt: skip


S3 = {"key": "of-environment", "secret": SECRET, "token": f"{SECRET}-token"}


def test_s3_credentials_are_for_the_environments_endpoint(monkeypatch):
    evil = {"endpoint_url": "http://evil.example"}
    ours = {"endpoint_url": "https://MinIO.example:443/"}
    for told, of in (({"s3": S3}, {}), ({"s3": {**S3, **ours}}, ours), ({}, {}), ({"s3://b": S3}, {})):
        monkeypatch.setenv("THALWEG_STORAGE_OPTIONS", json.dumps(told))
        with pytest.raises(
            ConfigError, match=r"names a server that your own credentials are not for; give key"
        ):
            Location("s3://b/x", evil)
        with pytest.raises(ConfigError, match="your own credentials are not for"):
            Location("s3://b/x", {**evil, "key": "only half"})
        with pytest.raises(ConfigError, match="your own credentials are not for"):
            Location("s3://b/x", {**evil, "anon": False})
        for brought in ({"anon": True}, {"key": "a", "secret": "b"}):
            there = Location("s3://b/x", {**evil, **brought})._options
            assert there == {**evil, **brought}
            assert SECRET not in repr(there)
        if told and of:
            back = Location("s3://b/x", {"endpoint_url": "https://minio.example"})._options
            assert back["secret"] == SECRET
    # Whoever brings credentials gets none of the environment's beside them.
    monkeypatch.setenv("THALWEG_STORAGE_OPTIONS", json.dumps({"s3": {**S3, "timeout": 7}}))
    assert Location("s3://b/x", {"key": "a", "secret": "b"})._options == {
        "key": "a",
        "secret": "b",
        "timeout": 7,
    }
    assert Location("s3://a:b@b/x")._options == {"key": "a", "secret": "b", "timeout": 7}


def test_s3_endpoints_of_the_tools_own_variables_are_the_environments(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio:9000")
    assert Location("s3://b/x", {"endpoint_url": "http://minio:9000/"})._options
    with pytest.raises(ConfigError, match="not for"):
        Location("s3://b/x", {"endpoint_url": "http://minio:9001"})


def test_buckets_have_their_own(monkeypatch):
    monkeypatch.setenv(
        "THALWEG_STORAGE_OPTIONS",
        json.dumps({
            "s3": {**S3, "endpoint_url": "https://one", "timeout": 3},
            "s3://mine": {"key": "mine", "secret": "also-mine-9"},
            "s3a://theirs": {"endpoint_url": "https://two", "anon": True},
            "gcs": {"token": "ya29.x"},
        }),
    )  # fmt: skip
    assert Location("s3://other/x")._options["key"] == "of-environment"
    mine = Location("s3://mine/x")._options
    assert (mine["key"], mine["endpoint_url"], mine["timeout"]) == ("mine", "https://one", 3)
    # Nothing of what is for the one endpoint goes to the other.
    assert Location("s3://theirs/x")._options == {"endpoint_url": "https://two", "anon": True}
    assert Location("gs://b/x")._options == {"token": "ya29.x"}
    with pytest.raises(ConfigError, match="token = 'anon'"):
        Location("gs://b/x", {"endpoint_url": "http://evil.example"})


def test_fsspecs_own_configuration_goes_nowhere(monkeypatch):
    from fsspec.config import conf

    monkeypatch.setitem(conf, "http", {"headers": {"Authorization": SECRET}})
    monkeypatch.setitem(conf, "s3", {"key": "k", "secret": SECRET})
    assert SECRET not in repr(vars(filesystem("http", {"timeout": 1.25})))
    assert SECRET not in repr(vars(filesystem("s3", {"timeout": 1.25, "anon": True})))
    assert conf["http"]["headers"]["Authorization"] == SECRET  # whose it is keeps it


class Servers:
    """Two servers on loopback, which note what they are asked."""

    def __init__(self):
        self.asked = []
        self.answers = {}
        self.servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler()) for _ in "ab"]
        self.threads = [threading.Thread(target=one.serve_forever, args=(0.02,)) for one in self.servers]
        for one in self.threads:
            one.start()

    def url(self, number):
        return f"http://127.0.0.1:{self.servers[number].server_port}"

    def _handler(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append((self.server.server_port, self.path, dict(self.headers)))
                status, headers, body = outer.answers.get(self.path, (200, {}, b"hello"))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        return Handler

    def close(self):
        for one in self.servers:
            one.shutdown()
            one.server_close()
        for one in self.threads:
            one.join()


@pytest.fixture
def servers():
    both = Servers()
    yield both
    both.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("where", ["options", "environment", "user info"])
def test_redirects_take_no_secret_to_another_host(servers, monkeypatch, status, where):
    one, other = servers.url(0), servers.url(1)
    servers.answers["/x"] = (status, {"Location": f"{other}/y", "Set-Cookie": "a=b"}, b"")
    servers.answers["/y"] = (302, {"Location": f"{one}/z"}, b"")
    header, url, options = {"headers": {"Authorization": SECRET, "X-Key": SECRET}}, f"{one}/x", {}
    if where == "options":
        options = header
    elif where == "environment":
        monkeypatch.setenv("THALWEG_STORAGE_OPTIONS", json.dumps({one: header}))
    else:
        url = url.replace("http://", f"http://ada:{SECRET}@")
    assert Location(url, options).read(1, 3) == b"el"
    (_, _, first), (_, _, second), (_, path, third) = servers.asked
    encoded = base64.b64encode(f"ada:{SECRET}".encode()).decode()
    assert SECRET in repr(first) or encoded in repr(first)
    for later in (second, third):  # back at the first host too: a server has led there
        assert not any(secret in repr(later) for secret in (SECRET, encoded, "a=b"))
    assert path == "/z"
    assert "Range" in third


def test_redirects_within_a_host_keep_what_is_for_it(servers):
    one = servers.url(0)
    servers.answers["/x"] = (302, {"Location": "/y"}, b"")
    assert Location(f"{one}/x", {"headers": {"Authorization": SECRET}}).read() == b"hello"
    assert servers.asked[1][2]["Authorization"] == SECRET


def test_folders_are_listed_by_the_same_rules(servers):
    one, other = servers.url(0), servers.url(1)
    servers.answers["/f/"] = (302, {"Location": f"{other}/g/"}, b"")
    servers.answers["/g/"] = (200, {"Content-Type": "text/html"}, b'<a href="a.txt">a</a>')
    folder = Location(f"{one}/f", {"headers": {"Authorization": SECRET}})
    assert folder.children() == ["a.txt"]
    assert [SECRET in repr(headers) for _, _, headers in servers.asked] == [True, False]


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://h/x", "gopher://h", "javascript:x", "http://[::1/x"]
)
def test_redirects_out_of_the_web_are_refused(servers, target):
    servers.answers["/x"] = (302, {"Location": target}, b"")
    with pytest.raises(DataError, match="redirected to what is no URL of http or https"):
        Location(f"{servers.url(0)}/x").read()
    assert len(servers.asked) == 1


def test_redirects_from_https_to_http_are_refused():
    import yarl

    from thalweg.storage.stores.session import _target

    with pytest.raises(DataError, match="from https to http"):
        _target(yarl.URL("https://h/x"), "http://h/x")
    assert str(_target(yarl.URL("http://h/x"), "https://u:p@h/x#y")) == "https://h/x"


@pytest.mark.filterwarnings("ignore:datetime.datetime.utc:DeprecationWarning")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_s3_is_led_nowhere(servers, monkeypatch, status):
    one, other = servers.url(0), servers.url(1)
    answer = (status, {"Location": f"{other}/y", "x-amz-bucket-region": "evil.example/"}, b"")
    servers.answers.update({"/b/x": answer, "/b": answer, "/b/": answer})
    monkeypatch.setenv("THALWEG_STORAGE_OPTIONS", json.dumps({"s3": {**S3, "endpoint_url": one}}))
    with pytest.raises(DataError):
        Location("s3://b/x").read()
    assert servers.asked
    assert {port for port, _, _ in servers.asked} == {servers.servers[0].server_port}


def test_redirects_end(servers):
    servers.answers["/x?sig=0123456789abcdef"] = (302, {"Location": "/x?sig=0123456789abcdef"}, b"")
    with pytest.raises(DataError, match="redirected more than 10 times"):
        Location(f"{servers.url(0)}/x?sig=0123456789abcdef").read()
    assert len(servers.asked) == 11


def test_nobody_gets_what_netrc_holds(servers, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login ada password {SECRET}\ndefault login a password {SECRET}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert Location(f"{servers.url(0)}/x").read() == b"hello"
    assert "Authorization" not in servers.asked[0][2]


def test_proxies_of_the_environment_are_used(servers, monkeypatch):
    monkeypatch.setenv("http_proxy", servers.url(1))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert Location("http://nowhere.example/x").read() == b"hello"
    assert Location(f"{servers.url(0)}/x").read() == b"hello"
    assert [path for _, path, _ in servers.asked] == ["http://nowhere.example/x", "/x"]


def test_fifos_and_devices_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "device").symlink_to("/dev/zero")
    assert [one.name for one in Location(tmp_path).find()] == ["file"]
    for name in ("fifo", "device"):
        place = Location(tmp_path / name)
        for call in (place.exists, place.size, place.version, place.read, lambda p=place: p.read(0, 1)):
            with pytest.raises(DataError, match="not a regular file"):
                call()


def test_no_more_is_read_than_is_of_use(tmp_path):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2**40)
    place = Location(tmp_path / "large")
    with pytest.raises(DataError, match="more than the 1,000 bytes"):
        place.read(limit=1000)
    with pytest.raises(DataError, match="more than the 1,000 bytes"):
        place.read(10, 2**39, limit=1000)
    assert place.read(0, 1000, limit=1000) == bytes(1000)
