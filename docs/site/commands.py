"""The reference of the command line, from click's own description of it."""

import re
from collections.abc import Iterator

import click
from docs.site.components import code

from thalweg.cli.main import cli


def page() -> str:
    """Markdown: every command with its arguments and options."""
    root = click.Context(cli, info_name="thalweg", **cli.context_settings)
    parts = [
        "# All commands",
        "What `--help` says of each; [the command line](../cli.md) says what they have in common.",
        *_described(cli, root),
    ]
    for name in cli.list_commands(root):
        parts += _commands(cli, name, root)
    return "\n\n".join(parts) + "\n"


def _commands(group: click.Group, name: str, parent: click.Context) -> Iterator[str]:
    command = group.get_command(parent, name)
    if command is None:
        raise LookupError(name)
    ctx = click.Context(command, info_name=name, parent=parent)
    yield from _described(command, ctx)
    if isinstance(command, click.Group):
        for below in command.list_commands(ctx):
            yield from _commands(command, below, ctx)


def _described(command: click.Command, ctx: click.Context) -> Iterator[str]:
    yield f"## {ctx.command_path}"
    usage = command.collect_usage_pieces(ctx)
    yield f"```text\n{ctx.command_path} {' '.join(usage)}\n```"
    yield _prose(command.help or "")
    options = [row for one in command.get_params(ctx) if (row := one.get_help_record(ctx))]
    rows = [f"| {code(name)} | {_cell(text)} |" for name, text in options]
    yield "\n".join(["| option | what |", "|---|---|", *rows])


def _prose(text: str) -> str:
    # click's mark of a paragraph that is not to be filled.
    text = re.sub(r"\s+$", "", text.replace("\b\n", ""), flags=re.MULTILINE)
    return re.sub(r"\b([A-Z]+(?:\.[a-z]+)?=[A-Z]+|[a-z]+\.[\w.]+=[\w.]+)", r"`\1`", text)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "&#124;").replace("[", "\\[").replace("<", "&lt;")
