"""What Thalweg is told of this package. It is imported by every command, so it imports nothing heavy."""

import click

from thalweg import hookimpl
from thalweg.hookspecs import Register
from thalweg_uvit.command import skips

api_version = 1


@hookimpl
def thalweg_components(register: Register) -> None:
    """Register backbone and sampler; their modules are imported when they are first used."""
    register("backbone", "uvit", "thalweg_uvit.backbone:UViTConfig")
    register("sampler", "adams_bashforth", "thalweg_uvit.sampler:AdamsBashforthConfig")


@hookimpl
def thalweg_commands(cli: click.Group) -> None:
    """Add ``thalweg uvit-skips``."""
    cli.add_command(skips)
