"""The commands of this distribution; it brings no component."""

import click

import thalweg
from thalweg.cli.deferred import DeferredCommand

api_version = 1

_COMMANDS = {
    "init": ("project.command:command", "Start a project: a recipe and a training script."),
    "plugins check": (
        "commands:check",
        "Check a component against the rules of its kind, or a whole plugin.",
    ),
    "plugins new": ("commands:new", "Write a package with a working component, its tests and CI."),
}


@thalweg.hookimpl
def thalweg_commands(cli: click.Group) -> None:
    """Add them; each is imported when it is called."""
    for path, (place, line) in _COMMANDS.items():
        name = path.rpartition(" ")[2]
        cli.add_command(DeferredCommand(name, f"thalweg_authoring.{place}", line), path)
