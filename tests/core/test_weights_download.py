"""``--download``: published weights that a command reads and that are not here are fetched first."""

import os
import random
import subprocess
import sys

import click
import pytest
import torch
from click.testing import CliRunner

import thalweg
from thalweg import DataError
from thalweg.cli import options
from thalweg.cli.main import cli, main
from thalweg.storage import Location
from thalweg.weights import permission
from thalweg.weights.here import path_of
from thalweg.weights.permission import giving
from thalweg_backbones.foreign.weights import fetched_or_hub
from weights_makers import entry, plugin_file, publishing, sha256, weights_of_one_test

CONTENT = random.Random(1).randbytes(2_000_000)
COMMANDS = {
    *(
        "ablate",
        "analyse",
        "bench",
        "encode",
        "evaluate",
        "fit-head",
        "import",
        "sample",
        "train",
        "tune",
        "view",
    ),
}


@pytest.fixture
def publisher():
    with publishing() as found:
        yield found


@pytest.fixture
def tiny(publisher, tmp_path, monkeypatch):
    """Published weights; where they are once they are here."""
    with weights_of_one_test(tmp_path, monkeypatch) as place:
        table = {
            "tiny": entry(publisher, "tiny", {"x.pt": CONTENT}, sha256=sha256(CONTENT), checked="stated")
        }
        thalweg.use_file(plugin_file(tmp_path, table))
        yield place / "tiny/x.pt"


def importing(tmp_path, *more):
    return main(["import", "sit", "weights:tiny", str(tmp_path / "out"), "--heads", "2", *more])


def test_a_command_fetches_what_it_names_and_only_then(publisher, tiny, tmp_path, capsys):
    assert importing(tmp_path) == 4
    assert "'thalweg weights get tiny' fetches them, and so does a command with --download" in (
        capsys.readouterr().err
    )
    assert publisher.proxy.requests == []
    assert not tiny.parent.exists()
    assert importing(tmp_path, "--download") == 4  # what is in it is no checkpoint
    said = capsys.readouterr().err
    assert "tiny (MB): 2 of 2" in said
    assert "are not here" not in said
    assert tiny.read_bytes() == CONTENT
    assert (tiny.parent / "arrived.json").is_file()
    count = len(publisher.proxy.requests)
    importing(tmp_path, "--download")
    assert len(publisher.proxy.requests) == count
    assert not (tmp_path / "out").exists()


def test_what_arrives_is_compared(publisher, tiny, tmp_path, capsys):
    publisher.files["/tiny/x.pt"] = CONTENT[::-1]
    assert importing(tmp_path, "--download") == 4
    assert "which does not begin with" in capsys.readouterr().err
    assert not tiny.exists()


def test_offline_it_says_what_to_copy_where(publisher, tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("THALWEG_OFFLINE", "1")
    assert importing(tmp_path, "--download") == 4
    assert f"/tiny/x.pt to {tiny} (SHA-256" in capsys.readouterr().err
    assert publisher.proxy.requests == []


def test_the_permission_ends_with_the_command(publisher, tiny, tmp_path, capsys):
    for command in (["weights:tny", "x"], ["weights:tiny", "x", "--heads", "two"]):
        assert main(["import", "sit", *command, "--download"]) == 2
        assert not permission.given()
    importing(tmp_path, "--download")
    assert not permission.given()
    tiny.unlink()
    with pytest.raises(DataError, match="are not here"):
        path_of("tiny")


def test_processes_that_a_command_starts_have_it(publisher, tiny):
    script = (
        "import thalweg\n"
        f"thalweg.use_file({str(tiny.parents[2] / 'zoo.py')!r})\n"
        "from thalweg.weights import path_of\n"
        "print(path_of('tiny'))"
    )
    with giving(lambda *_: None):
        environment = dict(os.environ)
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.stdout == f"{tiny}\n", done.stderr
    assert tiny.read_bytes() == CONTENT


def test_weights_that_are_used_unless_stated(publisher, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    of_hub = tmp_path / "hub/checkpoints/x.pt"
    assert fetched_or_hub("tiny", "x.pt") == Location(of_hub)
    with giving(lambda *_: None):
        assert fetched_or_hub("unknown", "x.pt") == Location(of_hub)
        of_hub.parent.mkdir(parents=True)
        of_hub.touch()
        # What torch.hub has is here already.
        assert fetched_or_hub("tiny", "x.pt") == Location(of_hub)
        assert publisher.proxy.requests == []
        of_hub.unlink()
        assert fetched_or_hub("tiny", "x.pt") == Location(tiny)


def has_option(command):
    below = command.commands.values() if isinstance(command, click.Group) else ()
    return any("--download" in one.opts for one in command.params) or any(map(has_option, below))


def test_commands_that_read_weights_have_the_option():
    root = click.Context(cli)
    having = {name for name in cli.list_commands(root) if has_option(cli.get_command(root, name))}
    assert having == COMMANDS


def test_a_plugin_gives_its_command_the_option(publisher, tiny):
    @click.command()
    @options.download
    def command():
        click.echo(path_of("tiny"))

    assert isinstance(CliRunner().invoke(command).exception, DataError)
    assert CliRunner().invoke(command, ["--download"]).output.strip().endswith(str(tiny))
    assert not permission.given()
