"""Writes a new project into a folder."""

import contextlib
import os
import re
from importlib import resources
from pathlib import Path

from thalweg import files
from thalweg.errors import ConfigError
from thalweg.files import write_bytes
from thalweg.folders import make_folders
from thalweg.storage.places import check_folder, local_path

FILES = ("recipe.toml", "train.py", ".gitignore")


def start(folder: Path | str) -> list[Path]:
    """Write a recipe and a training script into a folder that is empty or not there.

    Args:
        folder: the project; its name becomes the run's.

    Returns:
        What was written.

    Raises:
        ConfigError: if it holds something, or is no folder; nothing is written then.
        ThalwegError: if it cannot be written to; nothing is left of it then.
    """
    folder = local_path(folder, "the project's folder")
    check_folder(folder, "the project's folder")
    # A link that leads nowhere is there as well, and makes no folder.
    made = not os.path.lexists(folder)
    try:
        if not made and (not folder.is_dir() or any(folder.iterdir())):
            what = "is not empty" if folder.is_dir() else "is no folder"
            raise ConfigError(f"{folder} {what}; name a new or an empty one for the project")
        make_folders(folder)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{folder} cannot be made ({reason}); choose another place") from error
    written: list[Path] = []
    try:
        for name in FILES:
            write_bytes(folder / name, _text(name, folder.resolve().name).encode())
            written.append(folder / name)
    except BaseException:
        for path in written:
            files.disk.remove(path)
        if made:
            with contextlib.suppress(OSError):
                files.disk.remove_folder(folder)
        raise
    return written


def _text(name: str, project: str) -> str:
    if name == ".gitignore":
        return "/runs/\n__pycache__/\n"
    text = resources.files("thalweg_authoring.project").joinpath(name).read_text(encoding="utf-8")
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", project).strip("-.")[:100] or "project"
    return text.replace('"NAME"', f'"{name}"')
