"""What another command saw of the same images: whoever asks for fewer numbers sees none of them again."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from thalweg.errors import DataError
from thalweg.evaluation import ranges as spans
from thalweg.evaluation.parts import Part, Parts, found_in
from thalweg.evaluation.workplace import digest

_log = logging.getLogger("thalweg")


@attrs.frozen
class Content:
    """What a file of statistics is of, as its metadata say it.

    Attributes:
        images: digest of what decides the images.
        extractors: digest of what decides the features, by the key of each statistic.
    """

    images: str
    extractors: Mapping[str, str]

    @classmethod
    def of(cls, images: Mapping[str, Any], extractors: Mapping[str, Mapping[str, Any]]) -> "Content":
        """From what decides them, in plain values."""
        return cls(digest(images), {key: digest(one) for key, one in extractors.items()})

    def metadata(self) -> dict[str, str]:
        """As a file has it."""
        return {"images": self.images, "extractors": json.dumps(self.extractors, sort_keys=True)}

    def is_in(self, metadata: Mapping[str, str]) -> bool:
        """Whether a file has all of this, and perhaps more."""
        if metadata.get("images") != self.images:
            return False
        try:
            there = json.loads(metadata["extractors"])
            return bool(self.extractors.items() <= there.items())
        except (KeyError, ValueError, AttributeError):
            return False


def adopt(parts: Parts, content: Content, beside: Path) -> None:
    """Take what lies in folders beside, of the same images and with all that is asked for, into empty parts.

    The others stay as they are: their own command may go on.

    Raises:
        ThalwegError: if a file cannot be written.
    """
    there: list[Part] = []
    for folder in sorted(beside.parent.glob("*")):
        if folder != beside and folder.is_dir() and not folder.is_symlink():
            there += [part for part, metadata in found_in(folder) if content.is_in(metadata)]
    taken: list[spans.Range] = []
    for part in sorted(there, key=lambda part: -spans.size(part.ranges)):
        if spans.size(spans.without(part.ranges, taken)) < spans.size(part.ranges):
            continue  # some of its images are there already, and a file cannot be taken in part
        try:
            parts.add(part.ranges, parts.read(part.path))
        except DataError as error:
            _log.warning("%s; its images are seen anew", error)
            continue
        taken = spans.union([*taken, *part.ranges])
