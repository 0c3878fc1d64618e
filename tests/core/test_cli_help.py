"""The help of every command, frozen in tests/golden/cli.

After a change that is meant, write the files anew and read their difference:

    THALWEG_WRITE_GOLDEN=1 pytest tests/core/test_cli_help.py
"""

import os
from pathlib import Path

import click
import pytest

import thalweg.plugins
from thalweg.cli.main import COMMANDS, cli, main
from thalweg_eval.plugin import _COMMANDS as OF_EVAL

GOLDEN = Path(__file__).parents[1] / "golden" / "cli"
OF_PLUGINS = sorted([*OF_EVAL, "encode", "export", "import", "init"])
WRITE = bool(os.environ.get("THALWEG_WRITE_GOLDEN"))


@pytest.fixture(autouse=True)
def built_in_plugins_only(monkeypatch):
    monkeypatch.setenv("THALWEG_PLUGINS", "core,backbones,refiners,samplers,eval,authoring")
    thalweg.plugins.block()
    yield
    thalweg.plugins.block()


def helps(command, name, parent=None):
    """The help of a command and of all below it, by file name."""
    ctx = click.Context(
        command,
        info_name=name,
        parent=parent,
        terminal_width=80,
        **({} if parent else command.context_settings),
    )
    found = {f"{ctx.command_path.replace(' ', '-')}.txt": command.get_help(ctx) + "\n"}
    if isinstance(command, click.Group) and parent is not None:
        for below in command.list_commands(ctx):
            found |= helps(command.get_command(ctx, below), below, ctx)
    return found


@pytest.mark.parametrize("name", ["", *COMMANDS, *OF_PLUGINS])
def test_help_is_what_it_was(name):
    root = click.Context(cli, info_name="thalweg", terminal_width=80, **cli.context_settings)
    found = helps(cli.get_command(root, name), name, root) if name else helps(cli, "thalweg")
    for file, text in found.items():
        if WRITE:
            GOLDEN.mkdir(parents=True, exist_ok=True)
            (GOLDEN / file).write_text(text)
        assert text == (GOLDEN / file).read_text(), file


def test_no_help_is_left_over():
    words = {path.stem.removeprefix("thalweg-") for path in GOLDEN.glob("thalweg-*.txt")}
    names = {*COMMANDS, *OF_PLUGINS}
    assert names <= words
    below = {word for word in words - names if word.rpartition("-")[0] in names}
    assert words == names | below
    assert cli.list_commands(click.Context(cli)) == [*COMMANDS, *OF_PLUGINS]


def test_without_the_plugin_of_evaluations_the_rest_is_shown_and_works(capsys):
    assert main(["-p", "no:eval", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "  train " in shown
    assert "  sample " in shown
    assert not any(f"  {name} " in shown for name in OF_EVAL)
    assert main(["-p", "no:eval", "evaluate", "x"]) == 2
    assert "unknown command 'evaluate'" in capsys.readouterr().err
