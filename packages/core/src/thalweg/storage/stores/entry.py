"""What is known of a file without reading it."""

from collections.abc import Callable

import attrs

Closed = Callable[[str], bool]
"""Says of which names what lies below is not asked for."""


def opens_all(name: str) -> bool:  # noqa: ARG001
    """No folder is closed."""
    return False


@attrs.frozen
class Entry:
    """A file or folder.

    Attributes:
        folder: it is a folder.
        size: bytes of a file; None if the server does not say.
        version: changes when a file is replaced.
    """

    folder: bool
    size: int | None = None
    version: str = ""
