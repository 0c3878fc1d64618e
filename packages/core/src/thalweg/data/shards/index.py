"""``index.json``: what is in a folder of shards, with the checksum of every file and of itself."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

import attrs
from attrs.validators import ge, le

from thalweg.config import FaultyConfigError, dump, structure
from thalweg.data.shards.header import MOST_SAMPLES, ShardHeader
from thalweg.errors import DataError
from thalweg.regular import parse_json
from thalweg.storage import Location

INDEX = "index.json"
_FORMAT, _VERSION = "thalweg-shards", 2
_LARGEST = 256 * 2**20  # bytes; an index of a million shards is half as long
_SHARDS = "shards"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@attrs.frozen
class FileEntry:
    """One file.

    Attributes:
        count: samples in it.
        bytes: its length.
        sha256: its checksum, in hexadecimal.
    """

    count: int
    bytes: int
    sha256: str

    def __attrs_post_init__(self) -> None:
        # At once rather than by validators, of which a hundred thousand shards would have three each.
        if type(self.count) is not int or type(self.bytes) is not int or min(self.count, self.bytes) < 1:
            raise ValueError("'count' and 'bytes' must be integers of at least 1")
        if type(self.sha256) is not str or not _SHA256.fullmatch(self.sha256):
            raise ValueError("'sha256' must be 64 hexadecimal digits in small letters")


def _check_shards(index: "ShardIndex", _: object, shards: tuple[FileEntry, ...]) -> None:
    count, each = index.header.count, index.shard_samples
    # Their number first: as many as are stated are not to be listed for nothing.
    if len(shards) != -(-count // each) or [one.count for one in shards] != [*index.counts(count, each)]:
        raise ValueError(f"'shards' must hold {count} samples, {each} in each")
    sample = sum(spec.bytes for spec in index.header.tensors().values())
    if any(one.bytes < one.count * sample for one in shards):
        raise ValueError(f"'shards' must have {sample} bytes for each sample")


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
    shard_samples: int = attrs.field(validator=[ge(1), le(MOST_SAMPLES)])
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
        rest = {
            "empty": None if self.empty is None else dump(self.empty),
            "header": dump(self.header),
            "shard_samples": self.shard_samples,
        }
        shards = [{"bytes": one.bytes, "count": one.count, "sha256": one.sha256} for one in self.shards]
        return _text({"format": _FORMAT, "version": _VERSION, **rest, _SHARDS: shards})


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
        data = parse_json(content)
    except ValueError as error:
        raise _damaged(name, str(error)) from None
    if not isinstance(data, dict) or data.get("format") != _FORMAT:
        raise DataError(f"{name} is no index of shards; give a folder that 'thalweg encode' has made")
    version = data.get("version")
    if isinstance(version, int) and version > _VERSION:
        raise DataError(f"{name} is of version {version}, newer than {_VERSION}; update Thalweg to read it")
    if version != _VERSION:
        raise DataError(f"{name} is of a version before {_VERSION}; encode the images anew")
    if content != _text(data):
        raise _damaged(name, "it does not match its own checksum")
    fields = {key: value for key, value in data.items() if key not in ("format", "version", "sha256")}
    try:
        return structure(ShardIndex, {**fields, _SHARDS: _entries(fields.get(_SHARDS))})
    except (FaultyConfigError, ValueError) as error:
        raise _damaged(name, str(error)) from error


def _entries(listed: Any) -> list[FileEntry]:
    """The shards of an index, read without the general reader, which takes seconds for a hundred thousand.

    Raises:
        ValueError: if they are none.
    """
    if not isinstance(listed, list):
        raise ValueError(f"'{_SHARDS}' must be a list")
    for number, one in enumerate(listed):
        if not isinstance(one, dict) or one.keys() != {"count", "bytes", "sha256"}:
            raise ValueError(f"entry {number} of '{_SHARDS}' must have count, bytes and sha256")
    return [FileEntry(**one) for one in listed]


def _text(data: Mapping[str, Any]) -> bytes:
    """The one way to write it: with its checksum among the rest, and the shards last, each in a line."""
    listed = data.get(_SHARDS)
    encode = json.JSONEncoder(sort_keys=True).encode
    lines = ",\n  ".join(map(encode, listed if isinstance(listed, list) else [listed]))
    rest = {key: value for key, value in data.items() if key not in (_SHARDS, "sha256")}
    digest = hashlib.sha256(_joined(rest, lines)).hexdigest()
    return _joined({**rest, "sha256": digest}, lines)


def _joined(rest: Mapping[str, Any], lines: str) -> bytes:
    head = json.dumps(rest, indent=1, sort_keys=True).removesuffix("\n}")
    return f'{head},\n "{_SHARDS}": [\n  {lines}\n ]\n}}\n'.encode()


def _damaged(name: str, why: str) -> DataError:
    return DataError(f"{name} is damaged ({why}); copy it again or encode the images anew")
