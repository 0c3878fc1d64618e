"""Places on the command line: paths of this machine, and what may be behind a URL too."""

from pathlib import Path
from typing import Any

import click

from thalweg.errors import ConfigError
from thalweg.storage.named import is_known_name
from thalweg.storage.places import is_url, local_path, plain_place


class LocalPath(click.Path):
    """A path on this machine, or a ``file://`` URL. Another URL is refused by name: a folder would be called
    by it, credentials and all.

    Args:
        instead: what to do with a URL; by default how an output gets to where it was meant to go.
        settings: as of :class:`click.Path`.
    """

    def __init__(self, instead: str = "", **settings: Any) -> None:
        super().__init__(path_type=Path, **settings)
        self._instead = instead

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, or a usage error."""
        try:
            path = local_path(value, "it", self._instead)
        except ConfigError as error:
            self.fail(str(error), param, ctx)
        return super().convert(path, param, ctx)


class Place(click.Path):
    """A path, a URL or ``weights:NAME``, as text; ``file://`` is taken off."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The place, or a usage error where its protocol is not taken or its name not known."""
        from thalweg.storage.location import Location

        try:
            if is_known_name(value):
                return value  # by its name, so that nothing is written there
            place = plain_place(value)
            if not is_url(place):
                return str(Path(place))
            Location(place)
        except ConfigError as error:
            self.fail(str(error), param, ctx)
        return place
