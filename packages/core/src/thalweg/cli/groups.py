"""Command groups: with suggestions, and the one that imports its commands when they are called."""

import importlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import click

from thalweg.errors import PluginError
from thalweg.plugins import Fault, LoadedPlugin, Registry, registry
from thalweg.suggestions import did_you_mean, one_line

_NAME = re.compile(r"\w[\w.+-]*")

Table = Mapping[str, tuple[str, str]]
"""By name of a command: ``"module:object"``, and its line in the help."""


class Group(click.Group):
    """A group that shows its help if nothing is asked, and suggests the nearest command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Help, and exit code 2, without arguments."""
        # Shells ask for completions of an unfinished line.
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(2)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command, or a usage error with the nearest one."""
        known = self.list_commands(ctx)
        if args[0] not in known and not args[0].startswith("-"):
            ctx.fail(f"unknown command '{args[0]}'{did_you_mean(args[0], known)}")
        return super().resolve_command(ctx, args)


class LazyGroup(Group):
    """The root: commands of a table, imported when called, and those that plugins add."""

    def __init__(self, *args: Any, table: Table, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self._table = table
        self._added: tuple[Sequence[LoadedPlugin], dict[str, click.Command]] | None = None

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Ours in the table's order, then the plugins'."""
        return [*self._table, *self._plugins_commands()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command."""
        if cmd_name not in self._table:
            return self._plugins_commands().get(cmd_name)
        module, _, attribute = self._table[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list in the help, from the table, so that nothing is imported for it."""
        lines = [(name, line) for name, (_, line) in self._table.items()]
        with formatter.section("Commands"):
            formatter.write_dl(lines)
        added = [(name, one.get_short_help_str()) for name, one in self._plugins_commands().items()]
        if added:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(added)

    def _plugins_commands(self) -> dict[str, click.Command]:
        known = registry()
        # A file that came later has brought another tuple of plugins.
        if self._added is None or self._added[0] is not known.plugins:
            self._added = (known.plugins, _collect(known, self._table))
        return self._added[1]


@attrs.frozen
class _Added:
    command: click.Command
    owner: str


def _collect(known: Registry, table: Table) -> dict[str, click.Command]:
    """Ask every plugin by itself, so that one that fails or clashes costs the others nothing."""
    added: dict[str, _Added] = {}
    for plugin in known.plugins:
        own = click.Group("plugin")
        try:
            plugin.call("thalweg_commands", cli=own)
            brought = {str(name): command for name, command in own.commands.items()}
            _check(brought)
        # SystemExit too: a plugin that ends the process is as broken as any.
        except (Exception, SystemExit) as error:
            _report(known, plugin, f"failed in thalweg_commands: {one_line(error)}")
            continue
        for name, command in brought.items():
            owner = "thalweg-core" if name in table else added[name].owner if name in added else None
            if owner is None:
                added[name] = _Added(command, str(plugin.origin))
            else:
                _report(known, plugin, f"adds the command '{name}', which {owner} has and keeps")
    return {name: added[name].command for name in sorted(added)}


def _check(brought: Mapping[str, Any]) -> None:
    for name, command in brought.items():
        if not isinstance(command, click.Command):
            raise PluginError(f"the command '{name}' is no command of click")
        if not _NAME.fullmatch(name):
            raise PluginError(f"'{name}' cannot be a command's name; take letters, digits and dashes")
        command.get_short_help_str()


def _report(known: Registry, plugin: LoadedPlugin, reason: str) -> None:
    origin = plugin.origin
    known.faults.append(Fault(origin.plugin, origin.distribution, origin.version, reason))
