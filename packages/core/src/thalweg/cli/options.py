"""Options and arguments that several commands share: one name, one meaning, one help and one default."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from thalweg.arguments import PROCESSES
from thalweg.cli.local import LocalPath, Place
from thalweg.cli.progress import ProgressDisplay
from thalweg.errors import ConfigError
from thalweg.plugins import KINDS
from thalweg.weights.permission import giving

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], F]


def _process_count(_: click.Context, __: click.Parameter, value: str) -> str:
    if value == "auto" or (value.isascii() and value.isdecimal() and 1 <= int(value[:9]) <= PROCESSES.high):
        return value
    raise click.BadParameter(f"must be auto or a number from 1 to {PROCESSES.high:,}, got '{value}'")


recipe = click.argument("recipe", type=Place())
overrides = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
settings = click.argument("settings", nargs=-1, metavar="[KEY=VALUE]...")

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
device = click.option(
    "--device",
    metavar="NAME",
    default="auto",
    show_default=True,
    help="Where networks run: cpu, cuda or mps; auto takes the best there is.",
)
devices = click.option(
    "--devices",
    metavar="N|auto",
    callback=_process_count,
    default="auto",
    show_default=True,
    help="Processes on this machine, each on a device of its own; auto: one a GPU, or one.",
)
seed = click.option("--seed", default=0, show_default=True, help="Of all random numbers.")
dry_run = click.option(
    "--dry-run", is_flag=True, help="Check everything, show what would be done, and leave nothing behind."
)


def _permit(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        # Of the whole program's context: that of a command is not closed where it cannot be parsed.
        ctx.find_root().with_resource(giving(ProgressDisplay()))


download = click.option(
    "--download",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_permit,
    help="Fetch published weights that are named or used and not here, as 'thalweg weights get' does.",
)
accept_changed_data = click.option(
    "--accept-changed-data",
    is_flag=True,
    help="Resume though the data have changed since the work was begun.",
)
accept_changed_files = click.option(
    "--accept-changed-files",
    is_flag=True,
    help="Resume though plugin files are not those that the run was trained with so far.",
)
axis = click.option(
    "--axis",
    "axes",
    multiple=True,
    metavar="KEY=A,B,...",
    help="A key and the values that are compared; several axes multiply.",
)
data_of = click.option(
    "--data-of",
    "data",
    type=Place(),
    metavar="RECIPE|RUN",
    help="Whose data set is meant.  [default: that of the network's own run]",
)
average = click.option(
    "--average", metavar="NAME", help="EMA weights of this name, where a run keeps several."
)
passports = click.option(
    "--passport",
    "passports",
    multiple=True,
    metavar="FILE",
    type=LocalPath(instead="copy it to this machine first", dir_okay=False),
    help="An evaluation that is not in the run's folder; may be repeated.",
)
protocol = click.option(
    "--protocol",
    metavar="NAME|FILE",
    help="Settings of the evaluation: a name such as quick or adm-50k, or a TOML file.",
)


def batch_size(default: int) -> Decorator[Any]:
    """``--batch-size``; numbers and files do not depend on it, and how much fits does on the command."""
    return click.option("--batch-size", default=default, show_default=True, help="Images at a time.")


def kind(*, required: bool = False) -> Decorator[Any]:
    """``--kind`` of components."""
    return click.option(
        "--kind",
        type=click.Choice(KINDS),
        metavar="KIND",
        required=required,
        help=f"Kind of component: {', '.join(KINDS)}.",
    )


def out(what: str, *, file: bool = True, folder: bool = True, default: Path | None = None) -> Decorator[Any]:
    """``--out``: where results are written.

    Args:
        what: they are.
        file: whether it may be a file.
        folder: whether it may be a folder.
        default: the place unless stated.
    """
    return click.option(
        "-o",
        "--out",
        metavar="PATH",
        type=LocalPath(file_okay=file, dir_okay=folder),
        default=default,
        show_default=default is not None,
        help=f"Where results are written: {what}.",
    )


def tables_of(items: tuple[str, ...], names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Settings ``TABLE.KEY=VALUE`` of a command that reads no recipe, by table.

    Args:
        items: as they were typed.
        names: the tables that the command has.

    Raises:
        ConfigError: one is not of that form, or of another table.
    """
    from thalweg.config import apply_override  # helps wait for none of it

    tables: dict[str, dict[str, Any]] = {name: {} for name in names}
    for item in items:
        key = item.partition("=")[0].strip()
        if key.partition(".")[0] not in names or "." not in key:
            known = ", ".join(f"{name}.KEY" for name in names)
            raise ConfigError(f"'{key}' is no setting here; they are {known}")
        apply_override(tables, item)
    return tables
