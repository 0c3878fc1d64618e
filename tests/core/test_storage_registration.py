"""Secrets are known before anything is parsed, and masked by field whatever their length and form."""

import json
import logging
import shlex
import sys
import time
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secret_sweep import assert_absent
from thalweg.cli.main import main
from thalweg.config import FaultyConfigError, apply_override, read_toml
from thalweg.documents import text_of
from thalweg.errors import ConfigError
from thalweg.storage import redacted, redaction
from thalweg.storage.registration import guard, register_secrets

LONG = "Xy7canary0f-the+mine/9"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("train data.storage_options.secret=mine --out y", "train data.storage_options.secret=*** --out y"),
        ("train 'data.storage_options.key=a b c' --json", "train 'data.storage_options.key=***' --json"),
        ("""'data.storage_options={key="x y", b=[1,2]}' go""", "'data.storage_options=***' go"),
        ("data = {storage_options = {a=\"b c\"}, n = 1}", "data = {storage_options = ***, n = 1}"),
        (
            '[data.storage_options]\nkey = "a"\nn=12\n\n[training]\nsteps = 3',
            '[data.storage_options]\nkey = "***"\nn="***"\n\n[training]\nsteps = 3',
        ),
        ('{"storage_options": {"a": "b"}, "c": 1}', '{"storage_options": "***", "c": 1}'),
        ("{'storage_options': {'a': 1}, 'c': 1}", "{'storage_options': ***, 'c': 1}"),
        ("storage_options.key=ab x", "storage_options.key=*** x"),
        ("'storage_options.key=a b' y", "'storage_options.key=***' y"),
        ("THALWEG_STORAGE_OPTIONS={\"s3\":{\"key\":\"ab\"}} x", "THALWEG_STORAGE_OPTIONS=*** x"),
        ("THALWEG_STORAGE_OPTIONS='{\"s3://h\":{\"key\":\"ab", "THALWEG_STORAGE_OPTIONS=***"),
        ('["data.storage_options.x=ab", "n=1"]', '["data.storage_options.x=***", "n=1"]'),
        ('data."storage_options".x = 3', 'data."storage_options".x = ***'),
        ("https:/ada:pw@host/x?sig=y", "https:/***@host/x?sig=***"),
        # Prose about them stays.
        ("set them in storage_options or there", "set them in storage_options or there"),
        ("data.storage_options: expected a table", "data.storage_options: expected a table"),
        ("note:/tmp/x?y and C:/x", "note:/tmp/x?y and C:/x"),
    ],
)  # fmt: skip
def test_fields_are_masked_whatever_their_value(text, shown):
    assert redacted(text) == shown
    assert redacted(redacted(text)) == shown


# Nothing else in the texts below has a Q.
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="*\0Q"), max_size=30).map("Q{}Q".format)


@settings(deadline=None)
@given(VALUES, st.sampled_from(["data.storage_options.a=", "features.storage_options.a.b="]))
def test_an_argument_is_masked_in_commands_json_and_reprs(value, key):
    redaction._known = redaction.Known()
    item = key + value
    register_secrets(["train", item], {})
    for text in (shlex.join(["thalweg", item, "--json"]), repr([item, "a"]), json.dumps({"a": [item]}), item):
        assert "Q" not in redacted(text)
        assert redacted(text).startswith(text[: text.index("Q") - 2])


@pytest.mark.parametrize(
    "arguments",
    [
        [f"https://ada:{LONG}@host/x"],
        [f"https:/ada:{LONG}@host/x"],
        [f'source=["s3://AK:{LONG}@bucket", "x"]'],
        [f"--out=s3://AK:{LONG}@bucket"],
        [f"https://host/x?token={LONG}"],
        [f"storage_options.key={LONG}"],
        [f'data={{storage_options={{token="{LONG}"}}}}'],
        [f'data={{storage_options={{token="{LONG}'],
        ["--axis", f"data.storage_options.token=a,{LONG},b"],
        [f"loggers.x.api_key={LONG}"],
    ],
)
def test_values_of_arguments_are_known(arguments):
    register_secrets(arguments, {})
    assert redacted(f"no answer to {LONG}, {LONG!r} and {json.dumps(LONG)}").count("***") == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_SECRET_ACCESS_KEY", LONG),
        ("HF_TOKEN", LONG),
        ("WANDB_API_KEY", LONG),
        ("MY_PASSWORD", LONG),
        ("HTTPS_PROXY", f"http://ada:{LONG}@proxy:3128"),
        ("THALWEG_STORAGE_OPTIONS", json.dumps({"s3": {"secret": LONG}})),
        ("THALWEG_STORAGE_OPTIONS", json.dumps({"https://host": {"headers": {"A": f"Bearer {LONG}"}}})),
        ("THALWEG_STORAGE_OPTIONS", f'{{"s3": {{"secret": "{LONG}"'),
        ("THALWEG_STORAGE_OPTIONS", f'{{"s3": {{"headers": ["{LONG}'),
    ],
)
def test_values_of_the_environment_are_known(name, value):
    register_secrets([], {name: value})
    assert redacted(f"tried {LONG} twice") == "tried *** twice"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_SECRET_ACCESS_KEY", "nothing"),
        ("TOKENIZERS_PARALLELISM", "false"),
        ("SOME_TOKEN", "12345678"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/usr"),
        ("PATH", "/usr/bin:/bin"),
        ("KEYMAP", "germany-latin1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("PASSWORD", "thalweg"),
    ],
)
def test_harmless_values_of_the_environment_stay(name, value):
    register_secrets([], {name: value})
    assert redacted(f"before {value} after") == f"before {value} after"


def test_recipes_are_looked_through_before_they_are_parsed(tmp_path, capsys):
    for number, text in enumerate(
        [
            f'[data.storage_options]\nsecret = "{LONG}"\nbroken = [',
            f'data = {{ storage_options = {{ secret = "{LONG}" }} ',
            f'[data]\nurl = "s3://AK:{LONG}@bucket/x"\ntype = ',
        ]
    ):
        (tmp_path / f"{number}.toml").write_text(text)
        redaction._known = redaction.Known()
        assert main(["--debug", "config", "show", str(tmp_path / f"{number}.toml")]) == 2
        assert LONG in redaction._known.secrets
    assert_absent(LONG, texts=[*capsys.readouterr()])


def test_documents_mask_credentials_by_name():
    data = {"logger": {"api_key": "mine", "password": "x", "tokens": 3, "keys": ["a"], "sigma": 0.5}}
    assert json.loads(text_of(data)) == {
        "logger": {"api_key": "***", "password": "***", "tokens": 3, "keys": ["a"], "sigma": 0.5}
    }


def test_logs_and_warnings_of_any_library_are_masked(capsys):
    register_secrets([f"data.storage_options.secret={LONG}"], {})
    handler = logging.StreamHandler(sys.stderr)
    logging.getLogger("stranger").addHandler(handler)
    try:
        raise RuntimeError(LONG)
    except RuntimeError:
        logging.getLogger("stranger").exception("failed with %s", LONG)
    finally:
        logging.getLogger("stranger").removeHandler(handler)
    guard()
    assert LONG not in warnings.formatwarning(f"beware of {LONG}", UserWarning, "x.py", 1)
    said = capsys.readouterr().err
    assert "failed with ***" in said
    assert "RuntimeError: ***" in said
    assert_absent(LONG, texts=[said])


@pytest.mark.parametrize(
    "text",
    [
        "a" * 1_000_000 + " x://y",
        "https://a:b@c " * 20_000,
        "://" * 100_000,
        "storage_options={" * 10_000,
        "storage_options.a=b " * 10_000,
        "a-" * 50_000 + "storage_options" + " " * 100_000,
    ],
    ids=range(6),
)
def test_no_text_takes_long_to_mask(text):
    begun = time.process_time()
    redacted(text)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 100_000,
        "x = " + "{a = " * 5_000,
        "[" + ".".join(["a"] * 5_000) + "]",
        ".".join(["a"] * 99) + "=1",
    ],
    ids=["lists", "tables", "header", "key"],
)
def test_nested_toml_is_refused_in_a_sentence(tmp_path, text):
    (tmp_path / "deep.toml").write_text(text)
    with pytest.raises(ConfigError, match="is no valid TOML") as failure:
        read_toml(tmp_path / "deep.toml")
    assert len(str(failure.value)) < 500
    with pytest.raises(FaultyConfigError):
        apply_override(
            {}, f"a.b={text.removeprefix('x = ')}" if text.startswith("x") else "a." * 5_000 + "a=1"
        )


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "large.toml").write_bytes(b"#" * (2**20 + 1))
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    for name, says in {"pipe": "FIFO", "large": "more than", "bytes": "no UTF-8 text"}.items():
        with pytest.raises(ConfigError, match=says):
            read_toml(tmp_path / f"{name}.toml")
