"""The home folder in paths, where no shell has put it in: in recipes, from Python, in ``--out=~/x``."""

import os
from pathlib import Path


def home_path(path: "str | os.PathLike[str]") -> Path:
    """A path on this machine, with the user's home folder for ``~``, and another's for ``~name``.

    A name that begins so and is no user's stays what it is; a folder that is called ``~`` is ``./~``.
    """
    plain = Path(path)
    try:
        return plain.expanduser()
    except RuntimeError:
        return plain
