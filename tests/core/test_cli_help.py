"""The help of every command, frozen in tests/golden/cli.

After a change that is meant, write the files anew and read their difference:

    THALWEG_WRITE_GOLDEN=1 pytest tests/core/test_cli_help.py
"""

import os
from pathlib import Path

import click
import pytest

import thalweg.plugins
from thalweg.cli.main import COMMANDS, cli

GOLDEN = Path(__file__).parents[1] / "golden" / "cli"
WRITE = bool(os.environ.get("THALWEG_WRITE_GOLDEN"))


@pytest.fixture(autouse=True)
def built_in_plugins_only(monkeypatch):
    monkeypatch.setenv("THALWEG_PLUGINS", "core,backbones,refiners,samplers,eval")
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


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_is_what_it_was(name):
    root = click.Context(cli, info_name="thalweg", terminal_width=80, **cli.context_settings)
    found = helps(cli.get_command(root, name), name, root) if name else helps(cli, "thalweg")
    for file, text in found.items():
        if WRITE:
            GOLDEN.mkdir(parents=True, exist_ok=True)
            (GOLDEN / file).write_text(text)
        assert text == (GOLDEN / file).read_text(), file


def test_no_help_is_left_over():
    first = {path.stem.split("-")[1] for path in GOLDEN.glob("thalweg-*.txt")}
    assert first <= set(COMMANDS)
