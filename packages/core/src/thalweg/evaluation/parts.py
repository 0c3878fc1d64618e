"""What has been seen of a set so far, on disk: statistics of some ranges of its indices a file.

A file appears whole or not at all, together with the ranges that it covers, so an interruption at any
moment neither loses a file nor counts an image twice. Each has a digest of itself, and one that is damaged is
said, removed, and not counted. A process joins its own files as they grow alike,
as a binary counter carries: n images lie in about log n files, and each is rewritten about log n times.
"""

import json
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs
from torch import Tensor

from thalweg.errors import DataError
from thalweg.evaluation import ranges as spans
from thalweg.evaluation.ranges import Range
from thalweg.folders import remove_tree
from thalweg.protocols import Statistic
from thalweg.regular import parse_json
from thalweg.sealed_tensors import open_sealed, write_sealed
from thalweg.suggestions import one_line

Makers = Mapping[str, Callable[[], Statistic]]
Statistics = Mapping[str, Statistic]

_SUFFIX, _RANGES = ".part.safetensors", "ranges"

_log = logging.getLogger("thalweg")


@attrs.frozen
class Part:
    """One file.

    Attributes:
        path: where it is.
        ranges: the indices that it covers.
    """

    path: Path
    ranges: Sequence[Range]


class Parts:
    """The files of one folder.

    Args:
        folder: where they are; made if need be.
        makers: the empty statistic of each key.
        told: what else each file says of itself.
    """

    def __init__(self, folder: Path, makers: Makers, told: Mapping[str, str] | None = None) -> None:
        self._folder, self._makers, self._told = folder, makers, dict(told or {})
        self._own: list[Part] = []
        self._known: dict[Path, Sequence[Range]] = {}

    def empty(self) -> dict[str, Statistic]:
        """Statistics that have seen nothing."""
        return {key: make() for key, make in self._makers.items()}

    def done(self) -> list[Range]:
        """The indices that are covered."""
        return spans.union(one for part in self._found() for one in part.ranges)

    def add(self, ranges: Sequence[Range], statistics: Statistics) -> None:
        """Keep what was seen of these indices.

        Raises:
            ThalwegError: if it cannot be written.
        """
        joined: list[Part] = []
        while self._own and spans.size(self._own[-1].ranges) <= spans.size(ranges):
            part = self._own.pop()
            former = self._read(part)
            if former is None:
                continue  # which was said, and those images are seen anew in the end
            for key, one in former.items():
                one.merge(statistics[key])
                statistics = {**statistics, key: one}
            ranges = spans.union([*part.ranges, *ranges])
            joined.append(part)
        self._own.append(self._write(spans.union(ranges), statistics))
        for part in joined:
            remove_tree(part.path)

    def merged(self) -> dict[str, Statistic] | None:
        """All that was seen, in one; the same whoever saw what. None if some of it is damaged, and gone.

        Raises:
            DataError: if an image was counted twice.
        """
        whole = self.empty()
        found = sorted(self._found(), key=lambda part: part.ranges[0])
        counted = sum(spans.size(part.ranges) for part in found)
        if counted != spans.size(self.done()):
            raise DataError(f"some images were counted twice in {self._folder}; remove it and evaluate again")
        for part in found:
            statistics = self._read(part)
            if statistics is None:
                return None
            for key, one in statistics.items():
                whole[key].merge(one)
        return whole

    def remove(self) -> None:
        """Remove all files."""
        for path in self._folder.glob(f"*{_SUFFIX}"):
            remove_tree(path)
        self._own = []

    def _found(self) -> list[Part]:
        """All files that are whole, without those that were joined into another just before an interruption.

        Each is compared with its digest once, and whenever what is in it is counted.
        """
        there = sorted(self._folder.glob(f"*{_SUFFIX}"))
        for path in there:
            if path not in self._known:
                try:
                    self._known[path] = _ranges(path)
                except DataError as error:
                    if path.exists():  # else its process has just joined it to another
                        self._drop(path, error)
        parts = [Part(path, self._known[path]) for path in there if path in self._known]
        parts.sort(key=lambda part: -spans.size(part.ranges))
        kept: list[Part] = []
        for part in parts:
            if not any(spans.without(part.ranges, other.ranges) == [] for other in kept):
                kept.append(part)
        return kept

    def _read(self, part: Part) -> dict[str, Statistic] | None:
        """What a file holds; None if it is damaged, and gone."""
        try:
            return self.read(part.path)
        except DataError as error:
            self._drop(part.path, error)
            return None

    def read(self, path: Path) -> dict[str, Statistic]:
        """What a file holds of these statistics; it may hold more.

        Raises:
            DataError: if it is damaged.
        """
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

    def _drop(self, path: Path, error: DataError) -> None:
        _log.warning("%s; its images are seen anew", error)
        self._known.pop(path, None)
        remove_tree(path)

    def _write(self, ranges: Sequence[Range], statistics: Statistics) -> Part:
        path = self._folder / f"{secrets.token_hex(8)}{_SUFFIX}"
        tensors = {
            f"{key}/{name}": tensor for key, one in statistics.items() for name, tensor in one.state().items()
        }
        write_sealed(path, tensors, {**self._told, _RANGES: json.dumps(ranges)})
        return Part(path, ranges)


def found_in(folder: Path) -> list[tuple[Part, Mapping[str, str]]]:
    """The files of a folder that are whole, with all that they say of themselves."""
    found: list[tuple[Part, Mapping[str, str]]] = []
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        try:
            found.append((Part(path, _ranges(path)), open_sealed(path).metadata))
        except DataError:
            continue  # whoever wrote it will say so
    return found


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


def _ranges(path: Path) -> list[Range]:
    """The indices that a file covers."""
    try:
        stated = parse_json(open_sealed(path).metadata[_RANGES])
        return spans.union((int(start), int(stop)) for start, stop in stated)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} does not say what it covers ({one_line(error)})") from error
