"""Partial statistics of a set on disk: a file for some ranges of its indices.

A file appears whole or not at all, together with the ranges that it covers, so an interruption at any moment
neither loses a file nor counts an image twice. Each has a digest of itself; one that is damaged is named,
removed and not counted. A process merges its own files as they grow alike, as a binary counter carries:
n images are in about log n files, and each is rewritten about log n times.
"""

import json
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from thalweg.errors import DataError
from thalweg.folders import remove_tree
from thalweg.jobs import ranges as spans
from thalweg.jobs.ranges import Range
from thalweg.jobs.workspace import digest
from thalweg.protocols import Statistic
from thalweg.regular import parse_json
from thalweg.suggestions import one_line
from thalweg.tensor_files import SealedFile, open_sealed, write_sealed

Makers = Mapping[str, Callable[[], Statistic]]
Statistics = Mapping[str, Statistic]

_SUFFIX, _RANGES, _IMAGES, _EXTRACTORS = ".part.safetensors", "ranges", "images", "extractors"

_log = logging.getLogger("thalweg")


class _File(NamedTuple):
    path: Path
    ranges: Sequence[Range]


def content_of(images: Mapping[str, Any], extractors: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What files of statistics say they are of.

    Args:
        images: what decides the images, in plain values.
        extractors: what decides the features, by the key of each statistic.
    """
    digests = {key: digest(one) for key, one in extractors.items()}
    return {_IMAGES: digest(images), _EXTRACTORS: json.dumps(digests, sort_keys=True)}


def holds_no_more(folder: Path, content: Mapping[str, str]) -> bool:
    """Whether a folder holds statistics of the same images, and none but those that ``content`` names."""
    known, files = json.loads(content[_EXTRACTORS]).items(), sorted(folder.glob(f"*{_SUFFIX}"))
    try:
        stated = [SealedFile(path).metadata for path in files]
        return bool(stated) and all(
            one[_IMAGES] == content[_IMAGES] and json.loads(one[_EXTRACTORS]).items() <= known
            for one in stated
        )
    except (DataError, KeyError, ValueError, AttributeError):
        return False  # its own command will say what is wrong with it


class PartialStatistics:
    """The files of one folder.

    Args:
        folder: where they are; made if need be.
        makers: the empty statistic of each key.
        content: what each file says it is of, as :func:`content_of` has it.

    Attributes:
        folder: as given.
        content: as given.
    """

    def __init__(self, folder: Path, makers: Makers, content: Mapping[str, str] | None = None) -> None:
        self.folder, self.content, self._makers = folder, dict(content or {}), makers
        self._mine: list[_File] = []
        self._known: dict[Path, Sequence[Range]] = {}

    def empty(self) -> dict[str, Statistic]:
        """Statistics of no image."""
        return {key: make() for key, make in self._makers.items()}

    def done(self) -> list[Range]:
        """The indices that are covered."""
        return spans.union(one for file in self._files() for one in file.ranges)

    def add(self, ranges: Sequence[Range], statistics: Statistics) -> None:
        """Write the statistics of these indices.

        Raises:
            ThalwegError: if it cannot be written.
        """
        merged: list[_File] = []
        while self._mine and spans.size(self._mine[-1].ranges) <= spans.size(ranges):
            file = self._mine.pop()
            former = self._read_or_drop(file.path)
            if former is None:
                continue  # it was named, and those images are read again in the end
            for key, one in former.items():
                one.merge(statistics[key])
                statistics = {**statistics, key: one}
            ranges = spans.union([*file.ranges, *ranges])
            merged.append(file)
        path = self.folder / f"{secrets.token_hex(8)}{_SUFFIX}"
        tensors = {
            f"{key}/{name}": tensor for key, one in statistics.items() for name, tensor in one.state().items()
        }
        ranges = spans.union(ranges)
        write_sealed(path, tensors, {**self.content, _RANGES: json.dumps(ranges)})
        self._mine.append(_File(path, ranges))
        for file in merged:
            remove_tree(file.path)

    def adopt(self) -> None:
        """Take files from the folders beside this one, of the same images and with all that is requested.

        So a command that asks for fewer numbers than another one reads none of its images again. The other
        folders stay as they are: their own command may be resumed.

        Raises:
            ThalwegError: if a file cannot be written.
        """
        found: list[_File] = []
        for folder in sorted(self.folder.parent.glob("*")):
            if folder != self.folder and folder.is_dir() and not folder.is_symlink():
                found += self._fitting(folder)
        taken: list[Range] = []
        for path, ranges in sorted(found, key=lambda file: -spans.size(file.ranges)):
            if spans.size(spans.without(ranges, taken)) < spans.size(ranges):
                continue  # some of its images are there already, and a file cannot be taken in part
            try:
                self.add(ranges, self._read(path))
            except DataError as error:
                _log.warning("%s; its images are read again", error)
                continue
            taken = spans.union([*taken, *ranges])

    def merged(self) -> dict[str, Statistic] | None:
        """Statistics of all indices; the same whichever process computed which. None if a file is damaged,
        and gone.

        Raises:
            DataError: if an image was counted twice.
        """
        whole = self.empty()
        found = sorted(self._files(), key=lambda file: file.ranges[0])
        counted = sum(spans.size(file.ranges) for file in found)
        if counted != spans.size(self.done()):
            raise DataError(f"some images were counted twice in {self.folder}; remove it and evaluate again")
        for file in found:
            statistics = self._read_or_drop(file.path)
            if statistics is None:
                return None
            for key, one in statistics.items():
                whole[key].merge(one)
        return whole

    def remove(self) -> None:
        """Remove all files."""
        for path in self.folder.glob(f"*{_SUFFIX}"):
            remove_tree(path)
        self._mine = []

    def _files(self) -> list[_File]:
        """All files that are whole, without those that were merged into another just before an interruption.

        Each is compared with its digest once, and whenever what is in it is counted.
        """
        there = sorted(self.folder.glob(f"*{_SUFFIX}"))
        for path in there:
            if path not in self._known:
                try:
                    self._known[path] = _stated(path)[0]
                except DataError as error:
                    if path.exists():  # else its process has just merged it into another
                        self._drop(path, error)
        files = [_File(path, self._known[path]) for path in there if path in self._known]
        kept: list[_File] = []
        for file in sorted(files, key=lambda file: -spans.size(file.ranges)):
            if not any(spans.without(file.ranges, other.ranges) == [] for other in kept):
                kept.append(file)
        return kept

    def _fitting(self, folder: Path) -> list[_File]:
        """The files of another folder that hold all of the same, and perhaps more."""
        wanted, found = json.loads(self.content[_EXTRACTORS]), []
        for path in sorted(folder.glob(f"*{_SUFFIX}")):
            try:
                ranges, metadata = _stated(path)
                there = json.loads(metadata[_EXTRACTORS])
                if metadata[_IMAGES] == self.content[_IMAGES] and wanted.items() <= there.items():
                    found.append(_File(path, ranges))
            except (DataError, KeyError, ValueError, AttributeError):
                continue  # its own command will say what is wrong with it
        return found

    def _read(self, path: Path) -> dict[str, Statistic]:
        """The statistics in a file, which may hold others besides."""
        states: dict[str, dict[str, Tensor]] = {key: {} for key in self._makers}
        statistics = self.empty()
        file = open_sealed(path)
        for name in file.names:
            key, _, tensor = name.rpartition("/")
            if key in states:
                states[key][tensor] = file.tensor(name)
        for key, state in states.items():
            load_state(statistics[key], state, str(path))
        return statistics

    def _read_or_drop(self, path: Path) -> dict[str, Statistic] | None:
        try:
            return self._read(path)
        except DataError as error:
            self._drop(path, error)
            return None

    def _drop(self, path: Path, error: DataError) -> None:
        _log.warning("%s; its images are read again", error)
        self._known.pop(path, None)
        remove_tree(path)


def load_state(statistic: Statistic, state: Mapping[str, Tensor], origin: str) -> None:
    """Fill a statistic.

    Args:
        statistic: the empty statistic.
        state: what another one's ``state`` gave, or so it says.
        origin: where it is from, for messages.

    Raises:
        DataError: if it is none of such a statistic.
    """
    try:
        statistic.load_state(state)
    except DataError as error:
        raise DataError(f"{origin}: {error}") from error
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{origin}: these are no such statistics ({one_line(error)})") from error


def _stated(path: Path) -> tuple[list[Range], Mapping[str, str]]:
    """The indices that a file covers, and all that it says of itself."""
    metadata = open_sealed(path).metadata
    try:
        stated = parse_json(metadata[_RANGES])
        return spans.union((int(start), int(stop)) for start, stop in stated), metadata
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} does not say what it covers ({one_line(error)})") from error
