"""Seeded secrets through every command, option and argument of the command line, in every place they fit.

Commands and their parameters are found by walking them, so that a new one is tried as well.
"""

import contextlib
import io
import itertools
import shlex
from pathlib import Path
from urllib.parse import quote

import click
import pytest

from secret_sweep import assert_absent
from thalweg.cli.main import cli, main
from thalweg.config import to_toml
from thalweg.storage import redaction, retrying
from tiny_runs import TINY, TRAINING

# botocore's own date handling, on some versions of Python.
pytestmark = [
    pytest.mark.filterwarnings("ignore:datetime.datetime.utc:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

LONG, SLASHED, WORD, NUMBER = "Zq8canaryLong7hT2kV0x", "pL7/canary+s=w33t/k3y==", "wren", "9081726354"
ODD = "k\u00e4'na\"ry bl\u00e4nk \u2603 9|z"
SECRETS = (LONG, SLASHED, WORD, NUMBER, ODD)
NOWHERE = "127.0.0.1:9"

PLACES = {
    "user info": lambda secret: f"https://ada:{secret}@{NOWHERE}/x.toml",
    "quoted user info": lambda secret: f"s3://AK:{quote(secret, safe='')}@bucket/x",
    "name": lambda secret: f"http://{quote(secret, safe='')}@{NOWHERE}/x",
    "query": lambda secret: f"https://{NOWHERE}/x.npz?a=1&token={secret}",
    "quoted query": lambda secret: f"https://{NOWHERE}/x?sig={quote(secret, safe='')}",
    "override": lambda secret: f"data.storage_options.secret={secret}",
    "quoted override": lambda secret: f"data.storage_options.headers.A='{secret}",
    "table": lambda secret: (
        f'data.source={{type="folder", url="s3://b/x", storage_options={{k="{secret}"}}}}'
    ),
    "url override": lambda secret: f"data.source.url=https://ada:{quote(secret, safe='')}@{NOWHERE}/x",
    "url in a list": lambda secret: f'features.x=["https://a:{quote(secret, safe="")}@{NOWHERE}/x"]',
    "weights": lambda secret: f"autoencoder.weights=https://a:{secret}@{NOWHERE}/x?sig={secret}",
    "setting": lambda secret: f"storage_options.secret={secret}",
}


def commands(group: click.Group, path: tuple[str, ...] = ()):
    """All commands with their words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands(cli))


QUICK = {
    ("quickstart",): ["--steps", "1", "--samples", "10", "--sampler-steps", "2"],
    ("ablate",): ["--dry-run", "--axis", "branches=2"],
    ("train",): ["--dry-run"],
}
"""What keeps commands short that succeed."""


def takes_text(parameter: click.Parameter) -> bool:
    return not (isinstance(parameter, click.Option) and (parameter.is_flag or parameter.count))


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """A home, a cache and a working folder of its own, and nobody to talk to."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for name, below in {"HOME": "home", "XDG_CACHE_HOME": "cache", "TMPDIR": "tmp"}.items():
        (tmp_path / below).mkdir()
        monkeypatch.setenv(name, str(tmp_path / below))
    for name in ("AWS_ENDPOINT_URL", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://{NOWHERE}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(retrying, "sleep", lambda _: None)
    recipe = {**TINY, "training": {**TRAINING, "steps": 1}}
    Path("tiny.toml").write_text(to_toml(recipe), encoding="utf-8")
    return tmp_path


def call(words):
    """The command line in this process, as if it were a new one: its exit code and all that it printed."""
    redaction._known = redaction.Known()
    printed, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
        code = main(words)
    return code, printed.getvalue() + said.getvalue()


def arguments(command: click.Command, tried: click.Parameter | None, value: str) -> list[str]:
    """A command's arguments, with the value for one parameter and something plausible for what it needs."""
    given: list[str] = []
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            if parameter is tried:
                given += [value] * max(1, parameter.nargs)
            elif parameter.required:
                given += ["tiny.toml"] * max(1, parameter.nargs)
        elif parameter is tried:
            name = max(parameter.opts, key=len)
            given += [f"{name}={value}"] if name.startswith("--") and len(value) % 2 else [name, value]
        elif parameter.required:
            given += [max(parameter.opts, key=len), "1"]
    return given


def attempts(command: click.Command):
    """Arguments with a secret in every parameter and place; secrets take turns."""
    turn, places = itertools.cycle(SECRETS), itertools.cycle(PLACES.values())
    for parameter in [one for one in command.params if takes_text(one)]:
        for place in itertools.islice(places, 3):
            secret = next(turn)
            yield secret, arguments(command, parameter, place(secret))
    for place in PLACES.values():
        secret = next(turn)
        yield secret, [*arguments(command, None, ""), place(secret)]
    for place in itertools.islice(places, 3):
        secret = next(turn)
        yield secret, [f"--no-such-option={place(secret)}", place(secret)]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_command_tells_a_secret_wherever_it_is_given(words, scratch):
    command = COMMANDS[words]
    json = ["--json"] if any("--json" in parameter.opts for parameter in command.params) else []
    failed = 0
    for number, (secret, given) in enumerate(attempts(command)):
        debug = ["--debug"] if number % 2 else []
        more = [*QUICK.get(words, []), *(json if number % 3 else [])]
        code, printed = call([*debug, *words, *more, *given])
        failed += code != 0
        try:
            assert_absent(secret, texts=[printed])
            assert quote(secret, safe="") not in printed
        except AssertionError as found:
            pytest.fail(f"{shlex.join([*words, *given])}\n{found}\n{printed}")
    for secret in SECRETS:
        assert_absent(secret, scratch)
    assert failed, "none of them was tried in earnest"


FILES = {
    "recipe": '[data]\ntype = "images"\n[data.source]\ntype = "folder"\nurl = "s3://AK:{quoted}@bucket/x"\n'
    "[data.source.storage_options]\nsecret = '''{secret}'''\n",
    "broken recipe": "[data.storage_options]\nsecret = '''{secret}'''\n"
    'host = "https://ada:{quoted}@h"\nx = [',
    "ablation": "recipe = \"tiny.toml\"\n[cells]\na = ['data.url=s3://AK:{quoted}@b']\n"
    "b = ['''data.storage_options.secret=\"{secret}\"''']\n",
    "protocol": '[autoencoder]\ntype = "sd-vae"\nweights = "https://ada:{quoted}@{nowhere}/x?sig={quoted}"\n'
    "[autoencoder.storage_options]\nsecret = '''{secret}'''\n[features.x]\nextractor = \"none-such\"\n",
}


# The quick start reads no file, and would run.
@pytest.mark.parametrize("words", [words for words in COMMANDS if words != ("quickstart",)], ids=" ".join)
def test_no_command_tells_what_its_files_and_environment_hold(words, scratch, monkeypatch):
    command = COMMANDS[words]
    for number, (secret, text) in enumerate(
        zip(itertools.cycle((LONG, WORD, "o'dd 9\\z")), FILES.values(), strict=False)
    ):
        held = text.format(secret=secret, quoted=quote(secret, safe=""), nowhere=NOWHERE)
        Path("secret.toml").write_text(held, encoding="utf-8")
        options = f'{{"s3": {{"secret": "{LONG}{number}", "token": "{WORD}"}}' + "}" * (number % 2)
        monkeypatch.setenv("THALWEG_STORAGE_OPTIONS", options)
        monkeypatch.setenv("HF_TOKEN", f"hf_{LONG}")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"{SLASHED}{number}")
        given = [word.replace("tiny.toml", "secret.toml") for word in arguments(command, None, "")]
        more = ["--protocol", "secret.toml"] if words in (("evaluate",), ("ablate",)) else []
        _, printed = call(
            [*(["--debug"] if number % 2 else []), *words, *QUICK.get(words, []), *given, *more]
        )
        for one in (secret, LONG, SLASHED):
            assert_absent(one, texts=[printed])
    Path("secret.toml").unlink()
    for one in (WORD, LONG, SLASHED, "o'dd 9\\z"):
        assert_absent(one, scratch)
