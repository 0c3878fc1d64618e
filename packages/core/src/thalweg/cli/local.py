"""Outputs that are made on this machine."""

from pathlib import Path
from typing import Any

import click

from thalweg.storage.url_texts import scheme_of


class LocalPath(click.Path):
    """A path on this machine. A URL is refused: a folder would be called by it, credentials and all."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(path_type=Path, **settings)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, or a usage error."""
        if scheme_of(str(value)):
            self.fail("a path on this machine is needed, and a URL was given", param, ctx)
        return super().convert(value, param, ctx)
