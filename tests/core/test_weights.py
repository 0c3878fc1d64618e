"""Tables of published weights, the names that stand for them, and ``thalweg weights``."""

import json
from pathlib import Path

import pytest

import thalweg
from plugin_makers import plugin, plugins_of_one_test, site_at
from thalweg import ConfigError, DataError
from thalweg.cli.local import LocalPath, Place
from thalweg.cli.main import main
from thalweg.storage import Location, MissingError
from thalweg.storage.places import check_target, folder_at, local_path, plain_place
from thalweg.storage.redaction import redacted
from thalweg.weights.entry import read_table
from thalweg.weights.here import cure, path_of, weights_folder
from thalweg.weights.here import here as found_here
from thalweg.weights.tables import entries
from weights_makers import plugin_file, sha256

HEAD = 'what = "w"\nlicence = "MIT"\nsource = "https://example.org"\n'
FILE = '[[{name}.files]]\nname = "{file}"\nurls = ["https://example.org/{file}"]\n'


def text(name="tiny", files=("x.bin",), more=""):
    return f"[{name}]\n{HEAD}" + "".join(FILE.format(name=name, file=one) + more for one in files)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("THALWEG_WEIGHTS", str(tmp_path / "weights"))
    with plugins_of_one_test():
        yield tmp_path / "weights"


@pytest.fixture
def tiny(folder, tmp_path):
    """A file and a folder in a table of a plugin file; nothing is here."""
    (tmp_path / "zoo.toml").write_text(
        text(more=f'sha256 = "{sha256(b"tiny")}"\nchecked = "verified"\nbytes = 4\n')
        + text("several", ("config.json", "model.bin"), "about = 1_500_000\n")
    )
    (tmp_path / "zoo.py").write_text(plugin_file(tmp_path, {}, "other").read_text().replace("other", "zoo"))
    thalweg.use_file(tmp_path / "zoo.py")
    return folder


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_table(tmp_path):
    path = tmp_path / "t.toml"
    path.write_text(text() + text("enc-v2", ("a", "b"), "bytes = 3\n"))
    tiny, enc = read_table(path)
    assert (tiny.name, tiny.folder, tiny.bytes, tiny.about, tiny.checked) == (
        "tiny",
        False,
        None,
        0,
        "unverified",
    )
    assert (enc.name, enc.folder, enc.bytes, enc.about) == ("enc-v2", True, 6, 6)


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        (text().replace('licence = "MIT"\n', ""), "tiny.licence: "),
        (text().replace('"MIT"', '""'), "tiny.licence: its length must be at least 1"),
        (text("Tiny"), "Tiny.name: .*small letters"),
        (text().replace("https://example.org/x.bin", "x.bin"), "tiny.files.*urls: .*is no URL"),
        (text().replace("https://example.org/x.bin", "file:///x.bin"), "urls: .*is no URL"),
        (text().replace("https://example.org/x.bin", "https://a:bsecret@h/x"), "urls: holds user info"),
        (text().replace('x.bin"]', 'x.bin?token=hush-hush-1"]'), "urls: holds a credential in its query"),
        (text().replace('urls = ["https://example.org/x.bin"]', "urls = []"), "urls: must name at least one"),
        (text(files=("../x",)), "name: .*no folder"),
        (text(files=("a", "a")), "tiny.files: has two files of one name"),
        (text(files=()), "tiny.files"),
        (text(more='sha256 = "xyz"\nchecked = "stated"\n'), "sha256: .*8 to 64 hexadecimal digits"),
        (text(more='sha256 = "0123456"\nchecked = "stated"\n'), "sha256: .*8 to 64 hexadecimal digits"),
        (text(more='sha256 = "01234567"\n'), "checked: is 'verified' or 'stated' where there is a sha256"),
        (text(more='checked = "stated"\n'), "checked: is 'verified' or 'stated' where there is a sha256"),
        (text(more='sha256 = "01234567"\nchecked = "verified"\n'), "takes the whole sha256 of 64 digits"),
        (text(more="bytes = 0\n"), "bytes: must be at least 1, got 0"),
        (text(more="weight = 0\n"), "weight: unknown key"),
        ("tiny = 3", "tiny"),
        ("tiny", "cannot be read as a table of weights"),
    ],
)
def test_faults_of_a_table_are_named(tmp_path, written, fault):
    path = tmp_path / "t.toml"
    path.write_text(written)
    with pytest.raises(ConfigError, match=fault) as caught:
        read_table(path)
    assert "bsecret" not in str(caught.value)
    assert "hush-hush-1" not in str(caught.value)


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml cannot be read as a table of weights"):
        read_table(tmp_path / "none.toml")


HOOK = """
from pathlib import Path

@thalweg.hookimpl
def thalweg_weights(add):
    add({what})
"""


def test_plugins_add_tables_and_the_first_keeps_a_name(folder, tmp_path, caplog):
    (tmp_path / "one.toml").write_text(text("zoo-one"))
    (tmp_path / "two.toml").write_text(text("zoo-one", ("y.bin",)) + text("zoo-two"))
    (tmp_path / "bad.toml").write_text(text("zoo-bad").replace('"MIT"', '""'))
    with site_at(tmp_path) as site:
        for name, table in (("a-zoo", "one"), ("b-zoo", "two"), ("c-zoo", "bad")):
            what = f"Path(__file__).with_name('{table}.toml')"
            site.install(name, plugin(also=HOOK.format(what=what)))
        site.install("d-zoo", plugin(also=HOOK.format(what="1 / 0")))
        site.install("e-zoo", plugin(also=HOOK.format(what="'one.toml'")))
        thalweg.plugins.block()
        known = entries()
        assert known["zoo-one"].files[0].name == "x.bin"
        assert "zoo-two" in known
        assert "zoo-bad" not in known
        assert "inception" in known
        faults = "\n".join(map(str, thalweg.registry().faults))
        assert "'b_zoo' of b-zoo 1.0 has a table with the weights 'zoo-one', which a-zoo 1.0 has" in faults
        assert "plugin 'c_zoo' of c-zoo 1.0 failed in thalweg_weights" in faults
        assert "zoo-bad.licence: its length" in faults
        assert "plugin 'd_zoo' of d-zoo 1.0 failed in thalweg_weights: ZeroDivisionError" in faults
        assert "add() takes the path of a TOML file, got str" in faults
        assert entries() is known
    thalweg.plugins.block()
    assert "zoo-one" not in entries()


def test_a_name_stands_for_a_place_wherever_one_is_read(tiny):
    assert Place().convert("weights:tiny", None, None) == "weights:tiny"
    for read in (Location, plain_place, folder_at, path_of):
        with pytest.raises(
            MissingError, match=r"'tiny' are not here .*'thalweg weights get tiny' fetches them"
        ):
            read("tiny" if read is path_of else "weights:tiny")
    path = put(tiny / "tiny/x.bin", b"tiny")
    assert Location("weights:tiny").local == path
    assert Location("weights:tiny") == Location(path)
    assert Location("weights:tiny").read() == b"tiny"
    assert plain_place("weights:tiny") == str(path)
    assert folder_at("weights:tiny") == path
    assert found_here("tiny") == path
    put(tiny / "several/config.json", b"{}")
    assert found_here("several") is None
    put(tiny / "several/model.bin", b"1")
    assert plain_place("weights:several") == str(tiny / "several")
    assert (Location("weights:several") / "model.bin").read() == b"1"


def test_a_file_that_is_called_so_is_reached_by_its_path(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights:x").write_bytes(b"mine")
    assert Location("./weights:x").read() == b"mine"


def test_an_unknown_name_is_a_usage_error_with_the_nearest(tiny, capsys):
    with pytest.raises(ConfigError, match=r"there are no weights 'tny', did you mean 'tiny'\?"):
        Location("weights:tny")
    assert found_here("tny") is None
    for words in (["get", "tiny", "tny"], ["path", "tny"]):
        assert main(["weights", *words]) == 2
        assert (
            "no weights 'tny', did you mean 'tiny'?; 'thalweg weights list' shows" in capsys.readouterr().err
        )
    assert main(["data", "inspect", "weights:tny"]) == 2
    assert "there are no weights 'tny'" in capsys.readouterr().err
    assert not tiny.exists()


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "tiny/x.bin", "tiny\0"])
def test_a_name_is_no_path(tiny, name):
    with pytest.raises(ConfigError, match="there are no weights"):
        Location(f"weights:{name}")


def test_nothing_is_written_where_weights_are(tiny):
    put(tiny / "tiny/x.bin", b"tiny")
    with pytest.raises(ConfigError, match="out is weights:tiny, and published weights are only read"):
        local_path("weights:tiny", "out")
    with pytest.raises(ConfigError, match="published weights are only read"):
        check_target("weights:tiny", "out")
    with pytest.raises(Exception, match="published weights are only read"):
        LocalPath().convert("weights:tiny", None, None)


def test_the_folder_is_in_the_cache_unless_stated(tmp_path, monkeypatch):
    monkeypatch.delenv("THALWEG_WEIGHTS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weights_folder() == tmp_path / "thalweg/weights"
    monkeypatch.setenv("THALWEG_WEIGHTS", "~/mine")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights_folder() == tmp_path / "mine"


def test_the_list(tiny, capsys):
    assert main(["weights", "list"]) == 0
    printed = capsys.readouterr().out
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in printed.splitlines()}
    assert rows["name"] == "size licence here SHA-256 what"
    assert rows["tiny"] == "4 bytes MIT no verified w"
    assert rows["several"] == "~3 MB MIT no unverified w"
    assert "inception" in rows
    put(tiny / "tiny/x.bin", b"damaged")  # listing reads no content
    put(tiny / "several/config.json", b"{}")
    assert main(["weights", "list"]) == 0
    printed = capsys.readouterr().out
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in printed.splitlines()}
    assert rows["tiny"] == "4 bytes MIT yes verified w"
    assert rows["several"] == "~3 MB MIT 1 of 2 files unverified w"


def test_the_list_as_json(tiny, capsys):
    put(tiny / "several/config.json", b"{}")
    assert main(["weights", "list", "--json"]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)["weights"]}
    assert found["tiny"] == {
        "name": "tiny",
        "what": "w",
        "licence": "MIT",
        "source": "https://example.org",
        "bytes": 4,
        "here": False,
        "checked": "verified",
        "path": str(tiny / "tiny/x.bin"),
        "files": [
            {
                "name": "x.bin",
                "urls": ["https://example.org/x.bin"],
                "bytes": 4,
                "sha256": sha256(b"tiny"),
                "checked": "verified",
                "here": False,
            }
        ],
    }
    assert [one["here"] for one in found["several"]["files"]] == [True, False]
    assert (found["several"]["bytes"], found["several"]["files"][0]["sha256"]) == (None, None)


def test_path(tiny, capsys):
    assert main(["weights", "path", "tiny"]) == 4
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == (f"error: the weights 'tiny' are not here ({tiny}/tiny/x.bin); {cure('tiny')}\n")
    path = put(tiny / "tiny/x.bin", b"tiny")
    assert main(["weights", "path", "tiny"]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    put(path, b"tinY")
    assert main(["weights", "path", "tiny"]) == 4
    assert "is not what is published as 'tiny'" in capsys.readouterr().err


def test_a_folder_of_others_that_cannot_be_written_is_used(tiny, monkeypatch, caplog):
    path = put(tiny / "tiny/x.bin", b"tiny")

    def refused(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("thalweg.weights.here.holding", refused)
    assert path_of("tiny") == path
    assert "what arrived of the weights 'tiny' cannot be noted: PermissionError" in caplog.text


def test_published_urls_are_shown_with_their_queries(folder, tmp_path):
    url = "https://example.org/x.bin?rlkey=averylongkeyofalink&dl=0"
    (tmp_path / "zoo.toml").write_text(text().replace("https://example.org/x.bin", url))
    (tmp_path / "zoo.py").write_text(plugin_file(tmp_path, {}, "other").read_text().replace("other", "zoo"))
    thalweg.use_file(tmp_path / "zoo.py")
    assert "***" in redacted(url)
    entries()
    assert redacted(f"see {url}; or {url}.") == f"see {url}; or {url}."
    assert str(Location(url)) == url
    for other in (f"{url}1", f"{url}&token=hush-hush-1", "https://example.org/x.bin?rlkey=another-long-key"):
        assert "***" in redacted(other), other
    assert redacted(f"https://ada:hush@{url.removeprefix('https://')}").startswith("https://***@")


def test_a_damaged_file_is_no_missing_one(tiny):
    put(tiny / "tiny/x.bin", b"tinY")
    with pytest.raises(DataError) as caught:
        found_here("tiny")
    assert not isinstance(caught.value, MissingError)
