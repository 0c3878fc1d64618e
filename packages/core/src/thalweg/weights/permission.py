"""Whether published weights that are missing may be downloaded where they are read.

A command's ``--download`` gives the permission for as long as the command works, to the processes that it
starts too: these find it in their environment.
"""

import contextlib
import os
from collections.abc import Callable, Iterator

Progress = Callable[[str, int, int], None]
"""Is called with what is done, how much of it is, and how much there is, in MB."""

_GIVEN = "_THALWEG_DOWNLOAD"

_progress: list[Progress] = []


def given() -> bool:
    """Whether it is given."""
    return bool(os.environ.get(_GIVEN))


def progress() -> Progress:
    """What is told how far a download is."""
    return _progress[-1] if _progress else lambda *_: None


@contextlib.contextmanager
def giving(shown: Progress) -> Iterator[None]:
    """Give the permission.

    Args:
        shown: is told how far downloads are.
    """
    before = os.environ.get(_GIVEN)
    os.environ[_GIVEN] = "1"
    _progress.append(shown)
    try:
        yield
    finally:
        _progress.pop()
        if before is None:
            os.environ.pop(_GIVEN, None)
