"""``thalweg plugins new``: the package of a new plugin."""

from pathlib import Path

import click

from thalweg.cli import console
from thalweg.cli.local import LocalPath
from thalweg.visible import visible_line


@click.command("new")
@click.argument("name")
@click.option("--kind", required=True, metavar="KIND", help="What it brings, such as refiner or sampler.")
@click.option(
    "--into",
    type=LocalPath(file_okay=False),
    default=Path(),
    help="Folder in which the package's folder is made; the working folder unless stated.",
)
def command(name: str, kind: str, into: Path) -> None:
    """Write a package thalweg-NAME with a working component NAME, its tests and CI.

    NAME takes small letters, digits and underscores. A folder that is there is never written to.
    """
    from thalweg.authoring.writing import new_plugin

    folder = new_plugin(name, kind, into)
    console.result(visible_line(str(folder)))
    console.say(
        f'next: cd {folder} && pip install -e ".[test]" && thalweg plugins check {kind} {name} && pytest'
    )
