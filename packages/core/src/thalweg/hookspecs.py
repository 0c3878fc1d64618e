"""The hooks that a plugin may implement (no torch here).

A hook runs when plugins are loaded or at the edges of a run, never inside a forward pass.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import click
import pluggy

PROJECT = "thalweg"
API_VERSION = 1
"""The version of this contract, the only one. A plugin states the one it was written for as
``api_version`` in its plugin module; a newer one than ours is reported and not loaded."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@runtime_checkable
class Register(Protocol):
    """What :func:`thalweg_components` is handed."""

    def __call__(self, kind: str, name: str, config: str | type) -> None:
        """Register a component.

        Args:
            kind: one of :data:`thalweg.plugins.KINDS`.
            name: what users write as its type.
            config: its config class, or ``"module:Class"`` so that nothing is imported until it is used.
        """
        ...


class AddWeights(Protocol):
    """What :func:`thalweg_weights` is handed."""

    def __call__(self, table: Path) -> None:
        """Add a table of published weights.

        Args:
            table: a TOML file that the plugin's package ships.
        """
        ...


@hookspec
def thalweg_components(register: Register) -> None:
    """Register the components of this plugin."""


@hookspec
def thalweg_commands(cli: click.Group) -> None:
    """Add commands to the command line.

    ``cli.add_command(command, "plugins check")`` adds one to a group of core that takes commands, which
    is ``plugins``. A name that is taken stays with whoever has it, and the clash is reported.
    """


@hookspec
def thalweg_weights(add: AddWeights) -> None:
    """Add tables of published weights, which ``thalweg weights`` fetches and ``weights:NAME`` names.

    It is called when the first name is looked up. A name that is taken stays with whoever has it, and the
    clash is reported; so is a table that cannot be read.
    """


@hookspec
def thalweg_run_started(run_dir: Path, config: Any) -> None:
    """A training run begins or resumes in ``run_dir``, as its :class:`thalweg.RunConfig` says; on rank 0."""


@hookspec
def thalweg_step_finished(run_dir: Path, step: int, numbers: Mapping[str, float]) -> None:
    """A line of numbers was written at the end of ``step``; called on rank 0."""


@hookspec
def thalweg_checkpoint_written(run_dir: Path, step: int, path: Path) -> None:
    """The checkpoint of ``step`` is whole and on disk in the folder ``path``; called on rank 0.

    Checkpoints are written in the background, so training may have gone on since.
    """


@hookspec
def thalweg_run_ended(run_dir: Path, step: int, completed: bool) -> None:
    """A training run came to its last step, or was stopped by a signal at ``step``; called on rank 0."""
