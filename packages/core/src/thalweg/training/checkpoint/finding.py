"""Which checkpoints a folder holds, and the newest whole one."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from thalweg.errors import DataError
from thalweg.folders import leftovers, remove_tree
from thalweg.training.checkpoint.manifest import verify

LATEST = "latest"
"""A file that names the newest durable checkpoint. A file and no link: object stores have no links."""

PARTIAL = ".partial-"
_NAME = re.compile(r"step-(\d{8,})")


def place_of(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step stands, such as ``step-00000500``."""
    return folder / f"step-{step:08d}"


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint's name states."""
    return int(checkpoint.name.removeprefix("step-"))


def candidates(names: Iterable[str]) -> list[str]:
    """Those names that are a checkpoint's, by step."""
    return sorted((name for name in names if _NAME.fullmatch(name)), key=lambda name: int(name[5:]))


def checkpoints(folder: Path) -> list[Path]:
    """All checkpoints by step, whole or damaged; a link to one stands for it."""
    if not folder.is_dir():
        return []
    return [folder / name for name in candidates(path.name for path in folder.iterdir() if path.is_dir())]


def clean(folder: Path) -> None:
    """Remove what an interrupted write or removal left behind; of links, the links alone."""
    if folder.is_dir():
        begun = [path for path in folder.iterdir() if path.name.startswith(PARTIAL)]
        for path in [*begun, *leftovers(folder / LATEST)]:
            remove_tree(path)


def newest(folder: Path, complain: Callable[[str], None]) -> Path | None:
    """The newest checkpoint that verifies; None if there is none at all.

    Args:
        folder: where checkpoints live.
        complain: told of each damaged one on the way.

    Raises:
        DataError: if there are some and all are damaged.
    """
    found = checkpoints(folder)
    for checkpoint in reversed(found):
        try:
            verify(checkpoint)
        except DataError as error:
            complain(f"{error}: going back to the one before")
            continue
        return checkpoint
    if found:
        raise DataError(
            f"all {len(found)} checkpoints in {folder} are damaged; "
            f"restore one, or begin again in another folder"
        )
    return None
