"""Commands that are imported when they are called, so that the help of the program waits for none of them."""

import importlib

import click


class DeferredCommand(click.Command):
    """Stands for a command until it is called.

    Args:
        name: of the command.
        home: ``"module:object"``, where it is.
        line: its line in the help.
    """

    def __init__(self, name: str, home: str, line: str) -> None:
        super().__init__(name, help=line, short_help=line)
        self._home = home

    def load(self) -> click.Command:
        """The command itself."""
        module, _, attribute = self._home.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command
