"""What is known of a file without reading it."""

import attrs


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
