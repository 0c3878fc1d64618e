"""What has been seen of a set so far, on disk: statistics of some ranges of its indices a file.

A file appears whole or not at all, together with the ranges that it covers, so an interruption at any
moment neither loses a file nor counts an image twice. A process joins its own files as they grow alike,
as a binary counter carries: n images lie in about log n files, and each is rewritten about log n times.
"""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs
from torch import Tensor

from thalweg.errors import DataError, ThalwegError
from thalweg.evaluation import ranges as spans
from thalweg.evaluation.ranges import Range
from thalweg.files import disk, sync_folder
from thalweg.protocols import Statistic
from thalweg.tensor_files import open_tensors, write_tensors

Makers = Mapping[str, Callable[[], Statistic]]
Statistics = Mapping[str, Statistic]

_SUFFIX, _RANGES = ".part.safetensors", "ranges"


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
    """

    def __init__(self, folder: Path, makers: Makers) -> None:
        self._folder, self._makers = folder, makers
        self._own: list[Part] = []

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
            joined.append(self._own.pop())
            for key, one in self._read(joined[-1]).items():
                one.merge(statistics[key])
                statistics = {**statistics, key: one}
            ranges = spans.union([*joined[-1].ranges, *ranges])
        self._own.append(self._write(spans.union(ranges), statistics))
        for part in joined:
            disk.remove(part.path)

    def merged(self) -> dict[str, Statistic]:
        """All that was seen, in one; the same whoever saw what.

        Raises:
            DataError: if an image was counted twice.
        """
        whole = self.empty()
        found = sorted(self._found(), key=lambda part: part.ranges[0])
        counted = sum(spans.size(part.ranges) for part in found)
        if counted != spans.size(self.done()):
            raise DataError(f"some images were counted twice in {self._folder}; remove it and evaluate again")
        for part in found:
            for key, one in self._read(part).items():
                whole[key].merge(one)
        return whole

    def remove(self) -> None:
        """Remove all files."""
        for path in self._folder.glob(f"*{_SUFFIX}"):
            disk.remove(path)
        self._own = []

    def _found(self) -> list[Part]:
        """All files, without those that were joined into another just before an interruption."""
        parts = []
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            try:
                stated = open_tensors(path).metadata()[_RANGES]
            except DataError:
                if path.exists():
                    raise
                continue  # its process has just joined it to another
            parts.append(Part(path, [(start, stop) for start, stop in json.loads(stated)]))
        parts.sort(key=lambda part: -spans.size(part.ranges))
        kept: list[Part] = []
        for part in parts:
            if not any(spans.without(part.ranges, other.ranges) == [] for other in kept):
                kept.append(part)
        return kept

    def _read(self, part: Part) -> dict[str, Statistic]:
        file = open_tensors(part.path)
        states: dict[str, dict[str, Tensor]] = {key: {} for key in self._makers}
        for name in file.keys():  # noqa: SIM118 - not a dict
            key, _, tensor = name.rpartition("/")
            states[key][tensor] = file.get_tensor(name)
        statistics = self.empty()
        for key, state in states.items():
            statistics[key].load_state(state)
        return statistics

    def _write(self, ranges: Sequence[Range], statistics: Statistics) -> Part:
        path = self._folder / f"{secrets.token_hex(8)}{_SUFFIX}"
        tensors = {
            f"{key}/{name}": tensor for key, one in statistics.items() for name, tensor in one.state().items()
        }
        write_statistics(path, tensors, {_RANGES: json.dumps(ranges)})
        return Part(path, ranges)


def write_statistics(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file that is there whole or not at all.

    Raises:
        ThalwegError: if it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_tensors(partial, tensors, metadata)
            disk.move(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise ThalwegError(
            f"{path} cannot be written ({error.strerror or error}); make room or choose another place"
        ) from error
