"""Command groups: with suggestions, and the one that imports its commands when they are called."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import click

from thalweg.cli.deferred import DeferredCommand
from thalweg.errors import PluginError
from thalweg.plugins import LoadedPlugin, Registry, registry
from thalweg.suggestions import did_you_mean, one_line

_WHOLE = 10_000  # letters, which no sentence has
_PATH = re.compile(r"\w[\w.+-]*( \w[\w.+-]*)*")

_SIBLINGS = {
    **dict.fromkeys(("init", "plugins check", "plugins new"), "thalweg-authoring"),
    **dict.fromkeys(
        ("quickstart", "evaluate", "compare", "ablate", "analyse", "bench", "tune", "report", "view"),
        "thalweg-eval",
    ),
    **dict.fromkeys(("encode", "import"), "thalweg-backbones"),
}
"""Commands that other packages of Thalweg add, named where such a package is missing or left out."""

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
            owner = _SIBLINGS.get(f"{_prefix(ctx)}{args[0]}")
            brought = f"; {owner} brings it, and is left out or not installed: pip install {owner}"
            ctx.fail(f"unknown command '{args[0]}'{brought if owner else did_you_mean(args[0], known)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        _write(formatter, "Commands", {name: one for name, one in commands.items() if one is not None})


class ExtensibleGroup(Group):
    """A group to which plugins add commands: in ``thalweg_commands(cli)`` by its path, as in
    ``cli.add_command(command, "plugins check")``. Its own commands come first, in lists and in the help, and
    are the ones that plugins cannot take.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The group's own, then the plugins'."""
        return [*self.commands, *_added(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One command, which may be imported for it."""
        return _loaded(self.commands.get(cmd_name) or _added(ctx).get(cmd_name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Both lists in the help; nothing is imported for them."""
        _write(formatter, "Commands", self.commands)
        _write(formatter, "Commands of plugins", _added(ctx))


class LazyGroup(ExtensibleGroup):
    """The root: commands of a table, imported when called, and all that plugins add."""

    def __init__(self, *args: Any, table: Table, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        for name, row in table.items():
            self.add_command(DeferredCommand(name, *row))
        self._added: tuple[Sequence[LoadedPlugin], dict[str, click.Command]] | None = None

    def added(self) -> Mapping[str, click.Command]:
        """What plugins add, by path: ``"gates"`` here, ``"plugins check"`` to the group ``plugins``."""
        known = registry()
        # A file that came later has brought another tuple of plugins.
        if self._added is None or self._added[0] is not known.plugins:
            self._added = (known.plugins, _collect(known, self))
        return self._added[1]


def _write(formatter: click.HelpFormatter, title: str, commands: Mapping[str, click.Command]) -> None:
    """A list of commands, each with the first sentence of its help on as many lines as that takes."""
    lines = [(name, one.get_short_help_str(_WHOLE)) for name, one in commands.items() if not one.hidden]
    if lines:
        with formatter.section(title):
            formatter.write_dl(lines)


def _loaded(command: click.Command | None) -> click.Command | None:
    return command.load() if isinstance(command, DeferredCommand) else command


def _added(ctx: click.Context) -> dict[str, click.Command]:
    """What plugins add to the group of this context, by name."""
    root, group = ctx.find_root().command, _prefix(ctx)
    added = root.added() if isinstance(root, LazyGroup) else {}
    names = {path.removeprefix(group): one for path, one in added.items() if path.startswith(group)}
    return {name: one for name, one in names.items() if " " not in name}


def _prefix(ctx: click.Context) -> str:
    """What the paths of this group's commands begin with: ``"plugins "``, and nothing for the root's."""
    return "" if ctx.parent is None else f"{_prefix(ctx.parent)}{ctx.info_name} "


@attrs.frozen
class _Added:
    command: click.Command
    owner: str


def _collect(known: Registry, root: LazyGroup) -> dict[str, click.Command]:
    """Ask every plugin by itself, so that one that fails or clashes costs the others nothing."""
    added: dict[str, _Added] = {}
    for plugin in known.plugins:
        own = click.Group("plugin")
        try:
            plugin.call("thalweg_commands", cli=own)
            brought = {str(path): command for path, command in own.commands.items()}
            _check(brought)
        # SystemExit too: a plugin that ends the process is as broken as any.
        except (Exception, SystemExit) as error:
            _report(known, plugin, f"failed in thalweg_commands: {one_line(error)}")
            continue
        for path, command in brought.items():
            fault = _refused(path, root, added)
            if fault:
                _report(known, plugin, f"adds the command '{path}', {fault}")
            else:
                added[path] = _Added(command, str(plugin.origin))
    return {path: added[path].command for path in sorted(added)}


def _refused(path: str, root: LazyGroup, added: Mapping[str, _Added]) -> str:
    """Why a plugin's command cannot be there; empty if it can."""
    *parents, name = path.split(" ")
    group: ExtensibleGroup = root
    for word in parents:
        found = _loaded(group.commands.get(word))
        if not isinstance(found, ExtensibleGroup):
            return f"but '{' '.join(parents)}' is no group to which plugins add commands"
        group = found
    owner = "thalweg-core" if name in group.commands else added[path].owner if path in added else None
    return f"which {owner} has and keeps" if owner else ""


def _check(brought: Mapping[str, Any]) -> None:
    for path, command in brought.items():
        if not isinstance(command, click.Command):
            raise PluginError(f"the command '{path}' is no command of click")
        if not _PATH.fullmatch(path):
            raise PluginError(f"'{path}' cannot be a command's name; take letters, digits and dashes")
        command.get_short_help_str()


def _report(known: Registry, plugin: LoadedPlugin, reason: str) -> None:
    known.faults.append(plugin.origin.fault(reason))
