"""Checking a set of shards from end to end."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import attrs

from thalweg.data.shards.file import map_file
from thalweg.data.shards.header import EMPTY
from thalweg.data.shards.index import INDEX, FileEntry, ShardIndex, read_index, shard_name
from thalweg.data.shards.store import check_labels
from thalweg.errors import DataError
from thalweg.storage import Location


@attrs.frozen
class Damage:
    """A file that is not what the index says.

    Attributes:
        file: its name within the folder.
        reason: one sentence.
    """

    file: str
    reason: str


@attrs.frozen
class Report:
    """What :func:`verify` found.

    Attributes:
        files: files looked at, the index among them.
        bytes: bytes of those that are whole, without the index.
        damaged: the others.
    """

    files: int
    bytes: int
    damaged: tuple[Damage, ...]


def verify(location: Location, progress: Callable[[int, int], None] | None = None) -> Report:
    """Read every file of a set of shards and compare it with the index.

    Args:
        location: the folder.
        progress: told how many files are done, and of how many, after each.
    """
    try:
        index = read_index(location)
    except DataError as error:
        return Report(1, 0, (Damage(INDEX, str(error)),))
    entries = {shard_name(number): entry for number, entry in enumerate(index.shards)}
    if index.empty is not None:
        entries[EMPTY] = index.empty
    sound, damaged = 0, []
    for done, (name, entry) in enumerate(entries.items(), 1):
        try:
            _check(location / name, name, entry, index)
            sound += entry.bytes
        except DataError as error:
            damaged.append(Damage(name, str(error)))
        if progress is not None:
            progress(done, len(entries))
    return Report(1 + len(entries), sound, tuple(damaged))


def _check(place: Location, name: str, entry: FileEntry, index: ShardIndex) -> None:
    header = index.header
    tensors = header.empty_caption() if name == EMPTY else header.shard(entry.count)
    if place.local is not None:
        check_labels(map_file(place.local, str(place), entry, tensors, check=True), header, str(place))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        place.download(path, sha256=entry.sha256, size=entry.bytes)
        check_labels(map_file(path, str(place), entry, tensors, check=False), header, str(place))
