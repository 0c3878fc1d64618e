"""The folder of a run's checkpoints: which it holds, the latest complete one, and how one gets there."""

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from thalweg import files
from thalweg.checkpoint.manifest import verify
from thalweg.errors import DataError
from thalweg.files import write_bytes
from thalweg.folders import leftovers, make_folders, remove_tree, replace_folder

LATEST = "latest"
"""A file that names the newest durable checkpoint. A file and no link: object stores have no links."""

PARTIAL = ".partial-"
_NAME = re.compile(r"step-(\d{8,})")


def path_of(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step stands, such as ``step-00000500``."""
    return folder / f"step-{step:08d}"


def partial_of(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step is written."""
    return folder / f"{PARTIAL}{path_of(folder, step).name}"


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint's name states."""
    return int(checkpoint.name.removeprefix("step-"))


def candidates(names: Iterable[str]) -> list[str]:
    """Those names that are a checkpoint's, by step."""
    return sorted((name for name in names if _NAME.fullmatch(name)), key=lambda name: int(name[5:]))


def outdated(names: Iterable[str], step: int, keep: int, keep_every: int) -> list[str]:
    """Names of the checkpoints that make room for that of ``step``.

    Args:
        names: of all, by step.
        step: of the newest complete one; later ones are not touched.
        keep: how many to leave, at least 1, the newest ones.
        keep_every: those whose step is a multiple of it stay for ever; 0 for none.
    """
    steps = {name: step_of(Path(name)) for name in names}
    older = [name for name in steps if steps[name] <= step][:-keep]
    return [name for name in older if not (keep_every and steps[name] % keep_every == 0)]


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


def latest_complete(folder: Path, warn: Callable[[str], None]) -> Path | None:
    """The latest complete checkpoint, verified; None if there is none at all.

    Args:
        folder: of the checkpoints.
        warn: called for each damaged one on the way.

    Raises:
        DataError: if there are some and all are damaged.
    """
    found = checkpoints(folder)
    for checkpoint in reversed(found):
        try:
            verify(checkpoint)
        except DataError as error:
            warn(f"{error}: going back to the one before")
            continue
        return checkpoint
    if found:
        raise DataError(
            f"all {len(found)} checkpoints in {folder} are damaged; "
            f"restore one, or begin again in another folder"
        )
    return None


def begin(folder: Path, step: int) -> Path:
    """Make the folder that a checkpoint is written in, beside its place."""
    make_folders(folder)
    clean(folder)
    partial = partial_of(folder, step)
    files.disk.make_folder(partial)
    return partial


def publish(folder: Path, step: int, keep: int, keep_every: int) -> Path:
    """Move a written and sealed checkpoint to its place, then :func:`rotate`.

    Args:
        folder: of the checkpoints.
        step: of the checkpoint that :func:`begin` made room for.
        keep: as of :func:`outdated`.
        keep_every: as of :func:`outdated`.

    Returns:
        Where it is.

    Raises:
        OSError: if a file operation fails.
        ThalwegError: if ``latest`` cannot be written.
    """
    place = path_of(folder, step)
    # What stands there is a damaged one that the run went back behind: it makes room for its successor.
    replace_folder(place, partial_of(folder, step))
    rotate(place, keep, keep_every)
    return place


def rotate(place: Path, keep: int, keep_every: int) -> None:
    """Let ``latest`` name the latest complete checkpoint, and remove outdated ones."""
    folder = place.parent
    write_bytes(folder / LATEST, f"{place.name}\n".encode())
    for name in outdated([path.name for path in checkpoints(folder)], step_of(place), keep, keep_every):
        # In one move, so that what is half removed is never taken for a damaged checkpoint. Of one that
        # was moved elsewhere and linked back, only the link goes.
        files.disk.move(folder / name, folder / f"{PARTIAL}old-{name}")
    clean(folder)


def discard(folder: Path, step: int) -> None:
    """Remove what there is of a checkpoint that could not be written, as far as that is possible."""
    with suppress(OSError):  # the next write removes it
        remove_tree(partial_of(folder, step))
