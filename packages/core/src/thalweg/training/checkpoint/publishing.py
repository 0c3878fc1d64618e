"""From a written folder to a durable checkpoint: begin, publish, prune."""

from pathlib import Path

from thalweg import files
from thalweg.files import write_bytes
from thalweg.folders import make_folders, remove_tree, replace_folder
from thalweg.training.checkpoint.finding import LATEST, PARTIAL, checkpoints, clean, place_of, step_of


def begin(folder: Path, step: int) -> Path:
    """Make the folder that a checkpoint is written in, beside its place.

    Args:
        folder: where checkpoints live; made if need be.
        step: of the checkpoint.

    Raises:
        OSError: if it cannot be made.
    """
    make_folders(folder)
    clean(folder)
    partial = partial_of(folder, step)
    files.disk.make_folder(partial)
    return partial


def partial_of(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step is written."""
    return folder / f"{PARTIAL}{place_of(folder, step).name}"


def publish(folder: Path, step: int, keep: int, keep_every: int) -> Path:
    """Move a written and sealed checkpoint to its place; then move ``latest`` on and remove old ones.

    Args:
        folder: where checkpoints live.
        step: of the checkpoint that :func:`begin` made room for.
        keep: how many to leave, at least 1, the newest ones up to this.
        keep_every: those whose step is a multiple of it stay for ever; 0 for none.

    Returns:
        Where it is.

    Raises:
        OSError: if a file operation fails.
        ThalwegError: if ``latest`` cannot be written.
    """
    place = place_of(folder, step)
    # What stands there is a damaged one that the run went back behind: it makes room for its successor.
    replace_folder(place, partial_of(folder, step))
    follow(place, keep, keep_every)
    return place


def follow(place: Path, keep: int, keep_every: int) -> None:
    """Do what follows a checkpoint that is there: ``latest`` names it, and old ones are removed.

    Args:
        place: the newest whole checkpoint.
        keep: as of :func:`publish`.
        keep_every: as of :func:`publish`.

    Raises:
        OSError: if a file operation fails.
        ThalwegError: if ``latest`` cannot be written.
    """
    folder, step = place.parent, step_of(place)
    write_bytes(folder / LATEST, f"{place.name}\n".encode())
    for old in [path for path in checkpoints(folder) if step_of(path) <= step][:-keep]:
        if not (keep_every and step_of(old) % keep_every == 0):
            # In one move, so that what is half removed is never taken for a damaged checkpoint. Of one that
            # was moved elsewhere and linked back, only the link goes.
            files.disk.move(old, folder / f"{PARTIAL}old-{old.name}")
    clean(folder)


def discard(folder: Path, step: int) -> None:
    """Remove what there is of a checkpoint that could not be written, as far as that is possible."""
    try:
        remove_tree(partial_of(folder, step))
    except OSError:
        return  # the next write removes it
