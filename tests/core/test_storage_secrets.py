"""A seeded secret turns up nowhere: not in configs, errors, tracebacks or what the command line prints."""

import json
import logging
import subprocess
import sys
import traceback
from typing import Any

import attrs
import pytest

from fault_server import Fault, FaultServer, make_bucket, s3_server
from secret_sweep import assert_absent
from thalweg import ConfigError, DataError
from thalweg.cli import console
from thalweg.cli.main import main
from thalweg.config import (
    FaultyConfigError,
    apply_override,
    dump,
    plain,
    secret_field,
    structure,
    to_toml,
    url_field,
)
from thalweg.storage import Cache, Location, retrying
from thalweg.storage import redaction as module

# botocore's own date handling, on some versions of Python.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utc:DeprecationWarning")

SECRET = "Xy7/canary+of=the.mine"
QUOTED = "Xy7%2Fcanary%2Bof%3Dthe.mine"


@attrs.frozen
class Remote:
    """As a data set's config has it."""

    url: str = url_field()
    storage_options: dict[str, Any] = secret_field()
    size: int = 3


@attrs.frozen
class Holder:
    remote: Remote


@pytest.fixture
def waits(monkeypatch):
    monkeypatch.setattr(retrying, "sleep", lambda _: None)


def test_a_config_holds_its_secrets_and_tells_none():
    config = structure(
        Holder,
        {
            "remote": {
                "url": f"s3://key:{QUOTED}@bucket/x?v={QUOTED}",
                "storage_options": {"secret": SECRET, "a": [1]},
            }
        },
    )
    assert config.remote.storage_options == {"secret": SECRET, "a": [1]}
    assert config.remote.url == f"s3://key:{QUOTED}@bucket/x?v={QUOTED}"
    assert dump(config) == {"remote": {"url": "s3://***@bucket/x?v=***", "size": 3}}
    assert plain(config) == dump(config)
    assert_absent(SECRET, texts=[repr(config), str(config), to_toml(dump(config)), json.dumps(dump(config))])
    assert structure(Holder, dump(config)).remote.storage_options == {}
    assert Remote("/data").storage_options == {}


def test_configs_differ_by_their_secrets():
    assert Remote("x", {"secret": SECRET}) != Remote("x", {"secret": "another one"})


@pytest.mark.parametrize(
    "data",
    [
        {"url": "x", "storage_options": SECRET},
        {"url": "x", "storage_options": [SECRET]},
        {"url": "x", "storage_options": {"secret": SECRET}, "size": "large"},
        {"url": "x", "storage_options": {"secret": SECRET}, "sizes": 4},
        {"url": ["x"], "storage_options": {"secret": SECRET}},
        {"storage_options": {"secret": SECRET}},
        {"url": "x", "storage_option": {"secret": SECRET}},
    ],
)
def test_faults_of_a_config_show_no_secret(data):
    with pytest.raises(FaultyConfigError) as failure:
        structure(Holder, {"remote": data})
    assert_absent(SECRET, texts=["".join(traceback.format_exception(failure.value))])


def test_options_that_are_no_table_are_not_shown():
    with pytest.raises(ConfigError) as failure:
        Remote("x", SECRET)
    assert_absent(SECRET, texts=[failure.value])


@pytest.mark.parametrize(
    "item",
    [
        f"data.storage_options.secret='{SECRET}",
        f'data.storage_options.secret=["{SECRET}"',
        f"data.storage_options..secret={SECRET}",
        f'data.url="s3://key:{SECRET}@bucket',
    ],
)
def test_overrides_that_are_wrong_show_no_secret(item):
    with pytest.raises(FaultyConfigError) as failure:
        apply_override({}, item)
    assert_absent(SECRET, texts=[failure.value])


def test_overrides_give_secrets():
    data: dict[str, Any] = {}
    apply_override(data, f"data.storage_options.secret={SECRET}")
    apply_override(data, 'data.storage_options.client_kwargs.region_name="us-east-1"')
    assert data["data"]["storage_options"] == {
        "secret": SECRET,
        "client_kwargs": {"region_name": "us-east-1"},
    }
    assert module.redacted(f"thalweg train data.storage_options.secret={SECRET} in us-east-1") == (
        "thalweg train data.storage_options.secret=*** in us-east-1"
    )


def test_the_console_masks_what_it_prints(capsys):
    module.register_secrets({"secret": SECRET})
    for say in (console.result, console.say, console.warn, console.fail):
        say(f"to resume: thalweg train data.storage_options.secret={SECRET} data.url=s3://a:b@c")
    console.result_json({"url": f"https://host/?sig={QUOTED}", "note": SECRET})
    printed = "".join(capsys.readouterr())
    assert_absent(SECRET, texts=[printed])
    assert printed.count("secret=*** data.url=s3://***@c") == 4
    assert '"url": "https://host/?sig=***"' in printed


def test_commands_tell_no_secret(tmp_path, capsys):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f'[data]\ntype = "digits"\nstorage_options = {{ secret = "{SECRET}" }}\n')
    for words in [
        ["config", "show", str(recipe)],
        ["--debug", "config", "show", str(recipe), f"data.storage_options.secret={SECRET}"],
        [
            "--debug",
            "config",
            "validate",
            str(recipe),
            f"data.url=s3://key:{QUOTED}@bucket",
            "training.steps=x",
        ],
    ]:
        assert main(words) == 2
    printed = "".join(capsys.readouterr())
    assert "Traceback" in printed
    assert_absent(SECRET, texts=[printed])


def test_a_traceback_of_anything_is_masked(monkeypatch, capsys):
    from thalweg.cli import config as command

    def broken(recipe, overrides):
        module.register_secrets({"secret": SECRET})
        raise RuntimeError(f"no answer from https://key:{QUOTED}@host/?q={QUOTED} with {SECRET}")

    monkeypatch.setattr(command, "load_config", broken)
    assert main(["--debug", "config", "show", "recipe.toml"]) == 1
    printed = "".join(capsys.readouterr())
    assert "in broken" in printed
    assert "error: unexpected RuntimeError: no answer from https://***@host/?q=*** with ***" in printed
    assert_absent(SECRET, texts=[printed])


@pytest.mark.parametrize("fault", [403, 404, 400, 503, "cut", "shifted"])
@pytest.mark.parametrize("kind", ["s3", "http"])
def test_errors_of_storages_tell_no_secret(kind, fault, waits, tmp_path, caplog, capfd):
    caplog.set_level(logging.INFO)
    region = {"region_name": "us-east-1"}
    with s3_server() as port, FaultServer(port) as proxy:
        bucket = make_bucket(proxy.url)
        host = proxy.url.removeprefix("http://")
        options = {"endpoint_url": proxy.url, "client_kwargs": region} if kind == "s3" else {}
        place = f"{bucket}/{fault}" if kind == "s3" else f"{host}/{bucket}/{fault}?X-Signature={QUOTED}"
        location = Location(f"{kind}://user:{QUOTED}@{place}", options)
        proxy.spoil(Fault(fault, times=-1))
        cache = Cache(tmp_path / "cache", 1000)
        texts = [str(location), repr(location), vars(location).keys()]
        for call in [
            lambda: location.read(1, 5),
            lambda: location.download(tmp_path / "x"),
            lambda: cache.fetch(location, sha256="0" * 64, size=5),
        ]:
            with pytest.raises(DataError) as failure:
                call()
            texts += ["".join(traceback.format_exception(failure.value)), repr(failure.value)]
            assert failure.value.__cause__ is None or type(failure.value.__cause__) is OSError
    assert_absent(SECRET, tmp_path, texts=[*texts, caplog.text, *capfd.readouterr()])


def test_a_crash_of_a_program_of_ones_own_tells_no_secret(tmp_path):
    program = (
        "from thalweg.storage import Location\n"
        f"Location('http://user:{QUOTED}@127.0.0.1:9/x?sig={QUOTED}').exists()\n"
    )
    hurry = "import thalweg.storage.retrying as r; r.sleep = lambda _: None\n"
    run = subprocess.run(
        [sys.executable, "-c", "import sys; exec(sys.stdin.read())"],
        input=hurry + program, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert run.returncode == 1
    assert "DataError: http://127.0.0.1:9/x?sig=***" in run.stderr
    assert_absent(SECRET, texts=[run.stdout, run.stderr])


def test_the_sweep_finds_what_it_looks_for(tmp_path):
    import base64

    for text in (SECRET, QUOTED, base64.b64encode(f"user:{SECRET}".encode()).decode()):
        with pytest.raises(AssertionError):
            assert_absent(SECRET, texts=[f"before {text} after"])
        (tmp_path / "file").write_text(text)
        with pytest.raises(AssertionError, match="file holds it"):
            assert_absent(SECRET, tmp_path)
    (tmp_path / "file").unlink()
    assert_absent(SECRET, tmp_path, texts=["nothing"])


def test_importing_thalweg_and_its_storage_imports_no_backend():
    code = (
        "import sys, thalweg.storage, thalweg.cli.main\n"
        "print([name for name in ('fsspec', 's3fs', 'aiohttp', 'torch') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
