"""``thalweg init``: a new project."""

from pathlib import Path

import click

from thalweg.cli import console
from thalweg.cli.local import LocalPath
from thalweg.visible import visible_line


@click.command("init")
@click.argument("folder", metavar="DIR", type=LocalPath())
def command(folder: Path) -> None:
    """Start a project in DIR: a recipe, and a script that trains it, also under fabric run.

    DIR is made if it is not there; one that holds anything is refused.
    """
    from thalweg_authoring.project.writing import start

    for path in start(folder):
        console.result(visible_line(str(path)))
    console.say(f"next: cd {folder} && thalweg train recipe.toml")
