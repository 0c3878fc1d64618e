"""Notes of how samples were generated, for the numbers computed of them, and by which the command that
generated them knows its work again (no torch here).

Beside images it is a file, ``NAME.json``; of tensors ``samples.json`` in their folder. Both have a digest of
themselves.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from thalweg.documents import read_document, write_document
from thalweg.errors import DataError

_FORMAT = "thalweg-samples"


def note_of(images: Path) -> Path:
    """Where the note of a file or folder of images is."""
    return images.with_name(f"{images.name}.json")


def write_note(path: Path, data: Mapping[str, Any]) -> None:
    """Write a note.

    Args:
        path: the file.
        data: of images ``images``, their identity, without which the note would outlive them; ``sampling``,
            how they were generated; and ``captions``, one of each, where there are any. Whatever else is
            worth knowing.

    Raises:
        ThalwegError: if it cannot be written.
    """
    # As it will be read: a prompt of bytes that are no UTF-8 would not match the digest.
    text = json.dumps({"format": _FORMAT, **data}, ensure_ascii=False).encode(errors="replace")
    write_document(path, json.loads(text), sealed=True)


def any_note(path: Path) -> dict[str, Any] | None:
    """A note as it was written; None if there is none, or it is something else or damaged."""
    try:
        note = read_document(path, "a note", "remove it", sealed=True)
    except (FileNotFoundError, DataError):
        return None
    return note if note.get("format") == _FORMAT else None


def read_note(images: Path, identity: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """How the images were generated; None if that is not stated, or stated of other images.

    Raises:
        DataError: if the note is damaged.
    """
    note = _of(images, identity)
    return None if note is None else note["sampling"]


def noted_captions(images: Path, identity: Mapping[str, Any]) -> Sequence[str] | None:
    """The caption of each image; None if that is not stated, or stated of other images.

    Raises:
        DataError: if the note is damaged.
    """
    note = _of(images, identity)
    return None if note is None else note.get("captions")


def _of(images: Path, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """The note, if there is one and it is of these images."""
    path = note_of(images)
    if not path.exists():
        return None
    try:
        note = read_document(path, "a note of how images were generated", "remove it", sealed=True)
        captions = note.get("captions")
        whole = captions is None or (
            len(captions) == identity["images"] and all(isinstance(one, str) for one in captions)
        )
        if not whole or not isinstance(note["sampling"], dict):
            raise ValueError("captions are missing or no words")
        return dict(note) if note["images"] == dict(identity) else None
    except (DataError, OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{path} says in no readable way how {images} was generated ({error}); remove it"
        ) from error
