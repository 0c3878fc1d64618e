"""Beside drawn images lies how they were drawn, so that numbers made of them can say it (no torch here)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from thalweg.errors import DataError
from thalweg.files import write_bytes


def note_of(images: Path) -> Path:
    """Where the note of a file or folder of images lies."""
    return images.with_name(f"{images.name}.json")


def write_note(
    images: Path, identity: Mapping[str, Any], drawn: Mapping[str, Any], captions: Sequence[str] | None
) -> None:
    """Write the note.

    Args:
        images: the file or folder.
        identity: of the set of images there, without which the note would outlive it.
        drawn: how they were drawn.
        captions: what each was drawn for; None without.
    """
    note: dict[str, Any] = {"images": dict(identity), "drawn": dict(drawn)}
    if captions is not None:
        note["captions"] = list(captions)
    text = json.dumps(note, indent=2, ensure_ascii=False)
    write_bytes(note_of(images), f"{text}\n".encode())


def read_note(images: Path, identity: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """How the images were drawn; None if that is not stated, or stated of other images.

    Raises:
        DataError: if the note is damaged.
    """
    note = _of(images, identity)
    return None if note is None else note["drawn"]


def noted_captions(images: Path, identity: Mapping[str, Any]) -> list[str] | None:
    """What each image was drawn for; None if that is not stated, or stated of other images.

    Raises:
        DataError: if the note is damaged.
    """
    note = _of(images, identity)
    return None if note is None else note.get("captions")


def _of(images: Path, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """The note, if there is one and it is of these images."""
    path = note_of(images)
    if not path.is_file():
        return None
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        captions = note.get("captions")
        whole = captions is None or (
            len(captions) == identity["images"] and all(isinstance(one, str) for one in captions)
        )
        if not whole or not isinstance(note["drawn"], dict):
            raise ValueError("captions are missing or no words")
        return dict(note) if note["images"] == dict(identity) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{path} says in no readable way how {images} was drawn; remove it") from error
