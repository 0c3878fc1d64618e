"""Beside drawn images lies how they were drawn, so that numbers made of them can say it (no torch here)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thalweg.errors import DataError
from thalweg.files import write_bytes


def note_of(images: Path) -> Path:
    """Where the note of a file or folder of images lies."""
    return images.with_name(f"{images.name}.json")


def write_note(images: Path, identity: Mapping[str, Any], drawn: Mapping[str, Any]) -> None:
    """Write the note.

    Args:
        images: the file or folder.
        identity: of the set of images there, without which the note would outlive it.
        drawn: how they were drawn.
    """
    text = json.dumps({"images": dict(identity), "drawn": dict(drawn)}, indent=2, ensure_ascii=False)
    write_bytes(note_of(images), f"{text}\n".encode())


def read_note(images: Path, identity: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """How the images were drawn; None if that is not stated, or stated of other images.

    Raises:
        DataError: if the note is damaged.
    """
    path = note_of(images)
    if not path.is_file():
        return None
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        return dict(note["drawn"]) if note["images"] == dict(identity) else None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path} says in no readable way how {images} was drawn; remove it") from error
