"""Writes a new project into a folder."""

import contextlib
import re
from importlib import resources
from pathlib import Path

from thalweg.errors import ConfigError
from thalweg.files import write_bytes

FILES = ("recipe.toml", "train.py", ".gitignore")


def start(folder: Path) -> list[Path]:
    """Write a recipe and a training script into a folder that is empty or not there.

    Args:
        folder: the project; its name becomes the run's.

    Returns:
        What was written.

    Raises:
        ConfigError: if it holds something, or is no folder; nothing is written then.
        ThalwegError: if it cannot be written to; nothing is left of it then.
    """
    made = not folder.exists()
    if not made and (not folder.is_dir() or any(folder.iterdir())):
        what = "is not empty" if folder.is_dir() else "is no folder"
        raise ConfigError(f"{folder} {what}; name a new or an empty one for the project")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made ({error.strerror}); choose another place") from error
    written: list[Path] = []
    try:
        for name in FILES:
            write_bytes(folder / name, _text(name, folder.resolve().name).encode())
            written.append(folder / name)
    except BaseException:
        for path in written:
            path.unlink()
        if made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
    return written


def _text(name: str, project: str) -> str:
    if name == ".gitignore":
        return "/runs/\n__pycache__/\n"
    text = resources.files("thalweg.project").joinpath(name).read_text()
    return text.replace('"NAME"', f'"{re.sub(r"[^A-Za-z0-9_.-]+", "-", project).strip("-.") or "project"}"')
