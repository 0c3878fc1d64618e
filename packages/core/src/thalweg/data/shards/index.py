"""``index.json``: what lies in a folder of shards, with the checksum of every file and of itself."""

import hashlib
import json
from typing import Any

import attrs
from attrs.validators import ge, matches_re

from thalweg.config import FaultyConfigError, dump, structure
from thalweg.data.shards.header import ShardHeader
from thalweg.errors import DataError
from thalweg.storage import Location

INDEX = "index.json"
_FORMAT, _VERSION = "thalweg-shards", 1
_LARGEST = 64 * 2**20  # bytes; an index of a million shards is half as long


@attrs.frozen
class FileEntry:
    """One file.

    Attributes:
        count: samples in it.
        bytes: its length.
        sha256: its checksum, in hexadecimal.
    """

    count: int = attrs.field(validator=ge(1))
    bytes: int = attrs.field(validator=ge(1))
    sha256: str = attrs.field(validator=matches_re(r"[0-9a-f]{64}"))


def _check_shards(index: "ShardIndex", _: object, shards: tuple[FileEntry, ...]) -> None:
    counts = list(index.counts(index.header.count, index.shard_samples))
    if [shard.count for shard in shards] != counts:
        raise ValueError(f"'shards' must hold {index.header.count} samples, {index.shard_samples} in each")


def _check_empty(index: "ShardIndex", _: object, empty: FileEntry | None) -> None:
    if (empty is None) != (index.header.text is None):
        raise ValueError("'empty' must be there if the shards hold text, and only then")


@attrs.frozen
class ShardIndex:
    """What ``index.json`` says.

    Attributes:
        header: what all shards have in common.
        shard_samples: samples in each shard but the last, which may hold fewer.
        shards: the shards in their order.
        empty: the file of the empty caption, if the shards hold text.
    """

    header: ShardHeader
    shard_samples: int = attrs.field(validator=ge(1))
    shards: tuple[FileEntry, ...] = attrs.field(validator=_check_shards)
    empty: FileEntry | None = attrs.field(default=None, validator=_check_empty)

    @staticmethod
    def counts(count: int, shard_samples: int) -> tuple[int, ...]:
        """Samples in each shard: shard n holds the samples from n * shard_samples on."""
        whole, rest = divmod(count, shard_samples)
        return (shard_samples,) * whole + ((rest,) if rest else ())

    @property
    def total_bytes(self) -> int:
        """Bytes of all shards."""
        return sum(shard.bytes for shard in self.shards)

    def to_bytes(self) -> bytes:
        """The file's content; there is one way to write an index, so any other byte is a damage."""
        body = {"format": _FORMAT, "version": _VERSION, **dump(self)}
        return _text(body | {"sha256": hashlib.sha256(_text(body)).hexdigest()})


def shard_name(number: int) -> str:
    """The file name of a shard."""
    return f"shard-{number:05d}.safetensors"


def read_index(location: Location) -> ShardIndex:
    """The index of a folder of shards.

    Raises:
        DataError: if there is none, or it is damaged, foreign or of a newer version.
    """
    place = location / INDEX
    if not place.exists():
        raise DataError(
            f"{location} holds no {INDEX}, so it is no finished set of shards; give the folder that "
            "'thalweg encode' has finished, or let it finish"
        )
    if place.size() > _LARGEST:
        raise DataError(f"{place} is larger than any index of ours ({_LARGEST} bytes); give another folder")
    return parse(place.read(), str(place))


def parse(content: bytes, name: str) -> ShardIndex:
    """An index from its bytes; ``name`` is for messages.

    Raises:
        DataError: as :func:`read_index`.
    """
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _damaged(name, str(error)) from None
    if not isinstance(data, dict) or data.get("format") != _FORMAT:
        raise DataError(f"{name} is no index of shards; give a folder that 'thalweg encode' has made")
    version = data.get("version")
    if isinstance(version, int) and version > _VERSION:
        raise DataError(f"{name} is of version {version}, newer than {_VERSION}; update Thalweg to read it")
    body = {key: value for key, value in data.items() if key != "sha256"}
    digest = hashlib.sha256(_text(body)).hexdigest()
    if content != _text(body | {"sha256": digest}):
        raise _damaged(name, "it does not match its own checksum")
    fields = {key: value for key, value in body.items() if key not in ("format", "version")}
    try:
        return structure(ShardIndex, fields)
    except FaultyConfigError as error:
        raise _damaged(name, str(error)) from error


def _text(data: dict[str, Any]) -> bytes:
    return (json.dumps(data, indent=1, sort_keys=True) + "\n").encode()


def _damaged(name: str, why: str) -> DataError:
    return DataError(f"{name} is damaged ({why}); copy it again or encode the images anew")
